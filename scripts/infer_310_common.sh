# Shared by the two launchers of the C++ program, which set `usage`, `words` and `options`, after eval_common.sh.

# run_inference MINDIR IMAGES [DEVICE_ID]: run eval.py with the program.
run_inference() {
    [ -f "$1" ] || die "there is no model $1; export one with export.py. $usage"
    existing_folder "$2"
    options+=("--mindir_path=$(absolute_path "$1")" "--images_path=$(absolute_path "$2")")
    if [ $# -gt 2 ]; then
        [[ "$3" =~ ^[0-9]+$ ]] || die "DEVICE_ID is $3; give a whole number. $usage"
        options+=("--devices=$3,")
    fi
    run_evaluation
}
