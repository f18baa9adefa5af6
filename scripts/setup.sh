#!/usr/bin/env bash
# Makes or reuses the project's virtual environment (.venv) with the pinned packages.
#   bash scripts/setup.sh        what the programs need
#   bash scripts/setup.sh dev    and what the tests need
# DELF_PYTHON names the Python to build it with; otherwise the first of python3, python3.12 … 3.10 that fits.
# What it does is said on standard error: standard output belongs to the script that called it.
set -euo pipefail
source "$(dirname -- "$0")/common.sh"

kind="${1:-run}"
case "$kind" in
    run) requirements="$PROJECT_ROOT/requirements.txt" ;;
    dev) requirements="$PROJECT_ROOT/requirements-dev.txt" ;;
    *) die "usage: bash scripts/setup.sh [dev]" ;;
esac

# What a complete installation leaves behind: a stamp for each of its two sizes.
digest() {
    case "$1" in
        run) cksum <"$PROJECT_ROOT/requirements.txt" ;;
        dev) cat "$PROJECT_ROOT/requirements.txt" "$PROJECT_ROOT/requirements-dev.txt" | cksum ;;
    esac
}

# Ctrl-C is an error of the programs that are called here: it has to end the script all the same.
interruptible() {
    local code=0
    trap 'exit 130' INT
    "$@" || code=$?
    trap - INT
    return "$code"
}

# saying COMMAND...: run it, with what it says in `said`.
saying() {
    local code=0
    said="$(interruptible "$@" 2>&1)" || code=$?
    [ "$code" != 130 ] || exit 130
    return "$code"
}

# refused WHAT: end with the reason, where `said` has one that the system gave.
refused() {
    local reason
    reason="$(grep -o '\[Errno [0-9]*\] [^:]*' <<<"$said" | tail -n 1)" || return 0
    die "$1 (${reason#*\] }); mend that, and run the same command again"
}

is_ready() {
    [ "$(cat "$VENV/.installed-$kind" 2>/dev/null)" = "$(digest "$kind")" ] &&
        interruptible "$VENV/bin/python" -c "" 2>/dev/null
}

is_supported() { interruptible "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }

find_python() {
    local candidate
    if [ -n "${DELF_PYTHON:-}" ]; then
        is_supported "$DELF_PYTHON" || die "DELF_PYTHON=$DELF_PYTHON is not a Python 3.10-3.12"
        printf '%s\n' "$DELF_PYTHON"
        return
    fi
    for candidate in python3 python3.12 python3.11 python3.10 python; do
        if is_supported "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "MindSpore needs Python 3.10-3.12 and none was found (python3 is $(python3 -V 2>&1 | head -n 1));" \
        "install one and name it: DELF_PYTHON=/path/to/python3.11 bash scripts/setup.sh"
}

if is_ready; then exit 0; fi
[[ "$PROJECT_ROOT" != *:* ]] ||
    die "Python makes no environment in $PROJECT_ROOT: no : may be in the path; move the project"

# One installation at a time: two launchers may start together.
if command -v flock >/dev/null; then
    expect_own "$PROJECT_ROOT/.venv.lock"
    expect_writable "$PROJECT_ROOT/.venv.lock"
    exec 9>>"$PROJECT_ROOT/.venv.lock"
    flock 9
    if is_ready; then exit 0; fi
fi

if ! { [ -x "$VENV/bin/python" ] && is_supported "$VENV/bin/python"; }; then
    python="$(find_python)" || exit $?
    say "Making a virtual environment in .venv with $("$python" -V) ..." >&2
    [ ! -e "$VENV" ] || [ -d "$VENV" ] || die "$VENV is a file; move it away: an environment belongs there"
    rm -rf "$VENV" || die "$VENV cannot be removed, to be made again"
    # Some systems ship Python without ensurepip: then this Python's own pip fills the environment.
    saying "$python" -m venv "$VENV" || saying "$python" -m venv --without-pip "$VENV" || {
        refused "$VENV cannot be made"
        die "this Python cannot make virtual environments; install its venv module (Debian: python3-venv)"
    }
    printf '%s\n' "$python" 2>/dev/null >"$VENV/.made-by" || die "$VENV/.made-by cannot be written; is the disk full?"
fi
if "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    pip=("$VENV/bin/python" -m pip)
else
    pip=("$(cat "$VENV/.made-by")" -m pip --python "$VENV/bin/python")
fi

say "Installing the packages of $(basename "$requirements") into .venv (about 1 GB; the first time takes minutes) ..." >&2
saying "${pip[@]}" install --quiet --disable-pip-version-check --requirement "$requirements" || {
    refused "the packages could not be installed in $VENV"
    say "$said" >&2
    die "the packages could not be installed (pip's message is above); check the network and run the same command again"
}
[ -z "$said" ] || say "$said" >&2
note() { digest "$1" 2>/dev/null >"$VENV/.installed-$1" || die "$VENV/.installed-$1 cannot be written; is the disk full?"; }
note run
if [ "$kind" = dev ]; then note dev; fi
say "The environment is ready." >&2
