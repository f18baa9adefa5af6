#!/usr/bin/env bash
# Evaluates retrieval on Oxford5k, Paris6k or photos in their layout; prints mAP, writes mAP.txt and mAP.json.
#   bash scripts/run_eval_retrieval_images.sh IMAGES_PATH GT_PATH CHECKPOINT [DEVICES] [--name=value ...]
# GT_PATH is a folder of *_query.txt files or a gnd_*.pkl of Revisited Oxford and Paris. Among the settings:
#   --protocol=levels|classic|revisited   default: levels for text files, revisited for a pickle
#   --crop_queries=True|False             default: as the protocol does
#   --distractors_path=DIR[,DIR...]       more photos to search
# Logs: extract_feature.log, retrieval_dataset/process[X]/retrieval[X].log, calculate_mAP.log, in the
# project's folder.
set -euo pipefail
source "$(dirname -- "$0")/common.sh"
source "$PROJECT_ROOT/scripts/eval_common.sh"

usage="usage: bash scripts/run_eval_retrieval_images.sh IMAGES_PATH GT_PATH CHECKPOINT [DEVICES] [--name=value ...]"
read_arguments "$usage" "$@"
expect_words "$usage" 3 4
existing_folder "${words[0]}"
existing_path "${words[1]}"
existing_file "${words[2]}"
options=("--eval_task=retrieval" "--images_path=$(absolute_path "${words[0]}")" "--gt_path=$(absolute_path "${words[1]}")"
    "--checkpoint_path=$(absolute_path "${words[2]}")")
[ "${#words[@]}" -lt 4 ] || options+=("--devices=${words[3]}")
run_evaluation
