#!/usr/bin/env bash
# Evaluates retrieval with the features of the C++ program; prints mAP and writes mAP.txt.
#   bash scripts/run_infer_310_retrieval_images.sh GEN_MINDIR_PATH IMAGES_PATH GT_PATH [DEVICE_ID] [--name=value ...]
# Logs as run_eval_retrieval_images.sh; mean time of the network: time_Result/, in the project's folder.
set -euo pipefail
source "$(dirname -- "$0")/common.sh"
source "$PROJECT_ROOT/scripts/eval_common.sh"
source "$PROJECT_ROOT/scripts/infer_310_common.sh"

usage="usage: bash scripts/run_infer_310_retrieval_images.sh GEN_MINDIR_PATH IMAGES_PATH GT_PATH [DEVICE_ID] [--name=value ...]"
read_arguments "$usage" "$@"
expect_words "$usage" 3 4
existing_path "${words[2]}"
options=("--eval_task=retrieval" "--gt_path=$(absolute_path "${words[2]}")")
run_inference "${words[0]}" "${words[1]}" "${words[@]:3}"
