# Shared by the launchers of eval.py, which set `options` and `usage`, after common.sh.

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

# seen_from_here NAME VALUE: the value of a setting; paths in it are seen from the folder the person
# typed them in.
seen_from_here() {
    case "$1" in
        config_path) absolute_path "$2" ;;
        distractors_path) absolute_paths "$2" ;;
        pca_path | whitening_path) if [ "$2" = auto ]; then say auto; else absolute_path "$2"; fi ;;
        *)
            # delf_config.yaml says of each setting whether it is a path.
            if grep -qxF -- "$1: path" "$PROJECT_ROOT/delf_config.yaml"; then
                absolute_path "$2"
            else
                printf '%s\n' "$2"
            fi
            ;;
    esac
}

# run_evaluation: run eval.py in the project's folder, where its logs go.
run_evaluation() {
    local setting name
    ensure_environment
    for setting in ${settings[@]+"${settings[@]}"}; do
        name="${setting%%=*}"
        options+=("$name=$(seen_from_here "${name#--}" "${setting#*=}")")
    done
    cd -- "$PROJECT_ROOT"
    become_python eval.py "${options[@]}"
}
