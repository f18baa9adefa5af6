#!/usr/bin/env bash
# The main job on built-in sample data: render a small world of landmarks, train both stages on it,
# and compare retrieval before and after the training. Two to three minutes on two cores; a second run
# skips what is there.
#   bash scripts/run_quickstart.sh [FOLDER]     default: runs/quickstart
set -euo pipefail
source "$(dirname -- "$0")/common.sh"

usage="usage: bash scripts/run_quickstart.sh [FOLDER]"
read_arguments "$usage" "$@"
expect_words "$usage" 0 1
[ "${#settings[@]}" = 0 ] || die "the quickstart takes no settings; $usage"
folder="$(absolute_path "${words[0]:-$PROJECT_ROOT/runs/quickstart}")"
ensure_environment
make_folder "$folder"
weights="$PROJECT_ROOT/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
world="$folder/sample_world"

# step TEXT COMMAND...: say what is done, show the command, and what it took: seconds, and those of all processors.
step() {
    local text="$1" shown TIMEFORMAT='   (%0R s, %0U s of processor time)'
    shift
    shown="$*"
    shown="${shown/#become_python/$PYTHON}"
    printf '\n== %s\n   %s\n' "$text" "${shown//"$PROJECT_ROOT"\//}"
    time in_folder "$@"
}

# A function of its own: bash times no subshell that becomes another program.
in_folder() { (cd "$folder" && "$@"); }

train() {
    become_python "$PROJECT_ROOT/train.py" --config_path="$PROJECT_ROOT/scripts/quickstart.yaml" \
        --traindata_path="$folder/mindrecord/train.mindrecord000" \
        --imagenet_checkpoint="$weights" --save_ckpt="$folder/ckpt" "$@"
}

evaluate() {
    become_python "$PROJECT_ROOT/eval.py" --config_path="$PROJECT_ROOT/scripts/quickstart.yaml" \
        --images_path="$world/retrieval/images" --gt_path="$world/retrieval/gt" \
        --fit_pca_on="$world/gldv2/train" --devices=01 --work_path="$folder/retrieval_dataset" "$@"
}

newest() { find "$folder/ckpt" -name "checkpoint_delf_$1-*.ckpt" 2>/dev/null | sort -V | tail -n 1; }

step "ImageNet weights" bash "$PROJECT_ROOT/scripts/download_pretrained.sh" --weights_only
step "A small world of landmarks" become_python "$PROJECT_ROOT/sample_world/__main__.py" \
    --output_directory="$world" --train_photos=16 --retrieval_photos=8 --distractors=30
step "Training shards" become_python "$PROJECT_ROOT/src/build_image_dataset.py" \
    --train_csv_path="$world/gldv2/train/train.csv" \
    --train_clean_csv_path="$world/gldv2/train/train_clean.csv" \
    --train_directory="$world/gldv2/train" --output_directory="$folder/mindrecord"
step "Retrieval before: ImageNet weights, features picked by their norm" \
    evaluate --checkpoint_path="$weights" --map_output="$folder/mAP_before.txt"
step "First stage: ResNet50 learns the landmarks" train --train_state=tuning
step "Second stage: the attention learns which features matter" \
    train --train_state=attn --checkpoint_path="$(newest tuning)" --max_iters=120
step "Retrieval after" \
    evaluate --checkpoint_path="$(newest attn)" --map_output="$folder/mAP_after.txt"
printf '%s\n' cathedral_000000 cathedral_000001 >"$folder/list_images.txt"
step "Two photos of one landmark matched" become_python "$PROJECT_ROOT/eval.py" --eval_task=match \
    --config_path="$PROJECT_ROOT/scripts/quickstart.yaml" \
    --images_path="$world/retrieval/images" --checkpoint_path="$(newest attn)" \
    --list_images_path="$folder/list_images.txt" --match_output="$folder/eval_match.png" \
    --work_path="$folder/retrieval_dataset"

printf '\n'
(become_python "$PROJECT_ROOT/src/evaluation/compare_maps.py" before="$folder/mAP_before.txt" after="$folder/mAP_after.txt")
printf '\nPictures: %s\n          %s\nWhat each query found: %s\nAll of it took %d s.\n' \
    "$world/contact_sheet.jpg" "$folder/eval_match.png" "$folder/mAP_after_page/index.html" "$SECONDS"
