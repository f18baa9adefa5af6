# Shared by the scripts of this folder: `source "$(dirname "$0")/common.sh"`.
# Sets PROJECT_ROOT; ensure_environment sets PYTHON.

PROJECT_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$PROJECT_ROOT/.venv"

say() { printf '%s\n' "$*"; }

# One line that says what is wrong, and exit code 2.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# ensure_environment [dev]: make or reuse the project's virtual environment.
ensure_environment() {
    bash "$PROJECT_ROOT/scripts/setup.sh" "$@" || exit $?
    PYTHON="$VENV/bin/python"
}

# absolute_path PATH: the path seen from the folder the person typed it in, which need not exist.
absolute_path() {
    case "$1" in
        /*) printf '%s\n' "$1" ;;
        *) printf '%s\n' "$PWD/$1" ;;
    esac
}
