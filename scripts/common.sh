# Shared by the scripts of this folder: `source "$(dirname -- "$0")/common.sh"`.
# Sets PROJECT_ROOT; ensure_environment sets PYTHON.

# What a person may have exported for other programs: with CDPATH, `cd` goes elsewhere and says so on
# standard output; with PYTHONHOME, an environment looks for its modules in another Python; with
# PYTHONSAFEPATH, a program does not find the modules beside it; PYTHONOPTIMIZE takes its help texts.
unset CDPATH PYTHONHOME PYTHONSAFEPATH PYTHONOPTIMIZE

# Where files may not grow as large (ulimit -f), a program is to say so, not to be killed.
trap '' XFSZ

PROJECT_ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$PROJECT_ROOT/.venv"

say() { printf '%s\n' "$*"; }

# One line that says what is wrong, and exit code 2.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# make_folder FOLDER: make it where there is none, or end with one line.
make_folder() {
    local said
    said="$(mkdir -p -- "$1" 2>&1)" || die "folder $1 cannot be made (${said##*: }); name another place"
}

# expect_writable FILE: end with one line unless it can be written to; it is made where there is none.
expect_writable() {
    local said
    said="$( (: >>"$1") 2>&1)" || die "$1 cannot be written (${said##*: }); name another place, or get the right to it"
}

# put_in_place PROGRAM PLACE: copy it there, so that the place has a whole one at any moment.
put_in_place() {
    local new
    new="$(mktemp "${2%/*}/.${2##*/}.XXXXXX" 2>/dev/null)" && cp -- "$1" "$new" 2>/dev/null &&
        chmod 755 -- "$new" && mv -T -- "$new" "$2" 2>/dev/null ||
        die "$2 cannot be written; is the disk full, or a folder in its place?"
}

# expect_own FILE: end with one line where a link was laid: what is written would go elsewhere.
expect_own() {
    [ ! -L "$1" ] || die "$1 is a symbolic link, which nobody of ours lays; remove it"
}

# ensure_environment [dev]: make or reuse the project's virtual environment.
ensure_environment() {
    bash "$PROJECT_ROOT/scripts/setup.sh" "$@" || exit $?
    PYTHON="$VENV/bin/python"
}

# become_python ARGUMENT...: go on as a program of ours, which lets Ctrl-C through when it can answer it in
# one line: Python, while it starts, answers with a traceback.
become_python() {
    # Whether this system has it is asked with another signal: a Ctrl-C that the question does not feel is lost.
    if env --block-signal=HUP true 2>/dev/null; then exec env --block-signal=INT "$PYTHON" "$@"; fi
    exec "$PYTHON" "$@"
}

# read_arguments USAGE ARGUMENT...
# Sets `words` (what has its place) and `settings` (--name=value, or one of `switches`, wherever they stand). Behind -- all
# are words: a name may begin with a dash.
read_arguments() {
    local usage="$1"
    shift
    words=() settings=()
    while [ $# -gt 0 ]; do
        if [[ "$1" =~ ^--[A-Za-z0-9_]+= ]] || [[ " ${switches:-} " == *" $1 "* ]]; then
            settings+=("$1")
        elif [ "$1" = -- ]; then
            shift
            words+=("$@")
            return
        elif [ "$1" = -h ] || [ "$1" = --help ]; then
            say "$usage"
            exit 0
        elif [[ "$1" == -* ]]; then
            die "$1 is not of the form --name=value (a name that begins with a dash stands behind --); $usage"
        else
            words+=("$1")
        fi
        shift
    done
}

# expect_words USAGE LEAST MOST: end unless there are so many words.
expect_words() {
    [ "${#words[@]}" -ge "$2" ] || die "$1"
    [ "${#words[@]}" -le "$3" ] || die "${words[$3]} is one word too many, or a setting that is not --name=value; $1"
}

# absolute_path PATH: the path seen from the folder the person typed it in, which need not exist.
absolute_path() {
    case "$1" in
        "" | /*) printf '%s\n' "$1" ;;
        *) printf '%s\n' "$PWD/$1" ;;
    esac
}
