# Shared by the two evaluation launchers, which set `options` and `usage`.

existing_folder() { [ -d "$1" ] || die "folder $1 does not exist; $usage"; }
existing_file() { [ -f "$1" ] || die "file $1 does not exist; $usage"; }

# run_evaluation [DEVICES] [--name=value ...]: run eval.py in the project's folder.
run_evaluation() {
    if [ $# -gt 0 ] && [[ "$1" != --* ]]; then
        options+=("--devices=$1")
        shift
    fi
    local option
    for option in "$@"; do
        [[ "$option" == --*=* ]] || die "$option is not of the form --name=value; $usage"
        options+=("$option")
    done
    ensure_environment
    cd "$PROJECT_ROOT"
    exec "$PYTHON" eval.py "${options[@]}"
}
