#!/usr/bin/env bash
# Evaluates retrieval with the features of the C++ program; prints mAP and writes mAP.txt.
#   bash scripts/run_infer_310_retrieval_images.sh GEN_MINDIR_PATH IMAGES_PATH GT_PATH [DEVICE_ID] [--name=value ...]
# Logs as run_eval_retrieval_images.sh; mean time of the network: time_Result/, in the project's folder.
set -euo pipefail
source "$(dirname "$0")/common.sh"
source "$(dirname "$0")/infer_310_common.sh"

usage="usage: bash scripts/run_infer_310_retrieval_images.sh GEN_MINDIR_PATH IMAGES_PATH GT_PATH [DEVICE_ID] [--name=value ...]"
[ $# -ge 3 ] || die "$usage"
[ -e "$3" ] || die "ground truth $3 does not exist; $usage"
options=("--eval_task=retrieval" "--gt_path=$(absolute_path "$3")")
set -- "$1" "$2" "${@:4}"
run_inference "$@"
