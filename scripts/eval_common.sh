# Shared by the two evaluation launchers, which set `options` and `usage`.

existing_folder() { [ -d "$1" ] || die "folder $1 does not exist; $usage"; }
existing_path() { [ -e "$1" ] || die "file or folder $1 does not exist; $usage"; }
existing_file() { [ -f "$1" ] || die "file $1 does not exist; $usage"; }

# absolute_paths A,B: a list with commas, seen from the folder the person typed it in.
absolute_paths() {
    local folder joined="" folders
    IFS=, read -r -a folders <<<"$1"
    for folder in ${folders[@]+"${folders[@]}"}; do
        [ -z "$folder" ] || joined+="${joined:+,}$(absolute_path "$folder")"
    done
    printf '%s\n' "$joined"
}

# run_evaluation [DEVICES] [--name=value ...]: run eval.py in the project's folder.
run_evaluation() {
    if [ $# -gt 0 ] && [[ "$1" != --* ]]; then
        options+=("--devices=$1")
        shift
    fi
    local option
    for option in "$@"; do
        [[ "$option" == --*=* ]] || die "$option is not of the form --name=value; $usage"
        case "$option" in
            --distractors_path=*) option="--distractors_path=$(absolute_paths "${option#*=}")" ;;
        esac
        options+=("$option")
    done
    ensure_environment
    cd "$PROJECT_ROOT"
    exec "$PYTHON" eval.py "${options[@]}"
}
