# Shared by the two launchers of the C++ program, which set `usage` and `options`.

# run_inference MINDIR IMAGES [DEVICE_ID] [--name=value ...]: run eval.py with the program, in the project's folder.
run_inference() {
    [ -f "$1" ] || die "there is no model $1; export one with export.py. $usage"
    [ -d "$2" ] || die "folder $2 does not exist; $usage"
    options+=("--mindir_path=$(absolute_path "$1")" "--images_path=$(absolute_path "$2")")
    shift 2
    if [ $# -gt 0 ] && [[ "$1" != --* ]]; then
        [[ "$1" =~ ^[0-9]+$ ]] || die "DEVICE_ID is $1; give a whole number. $usage"
        options+=("--devices=$1,")
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
