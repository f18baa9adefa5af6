#!/usr/bin/env bash
# Matches the two photos named in list_images.txt with the C++ program and draws their inliers into test_match.png.
#   bash scripts/run_infer_310_match_images.sh GEN_MINDIR_PATH IMAGES_PATH [DEVICE_ID] [--name=value ...]
# Logs: extract_feature.log, match_images.log; mean time of the network: time_Result/, in the project's folder.
set -euo pipefail
source "$(dirname -- "$0")/common.sh"
source "$PROJECT_ROOT/scripts/eval_common.sh"
source "$PROJECT_ROOT/scripts/infer_310_common.sh"

usage="usage: bash scripts/run_infer_310_match_images.sh GEN_MINDIR_PATH IMAGES_PATH [DEVICE_ID] [--name=value ...]"
read_arguments "$usage" "$@"
expect_words "$usage" 2 3
options=("--eval_task=match" "--match_output=$PROJECT_ROOT/test_match.png")
run_inference "${words[@]}"
