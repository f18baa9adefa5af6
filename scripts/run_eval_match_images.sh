#!/usr/bin/env bash
# Matches the two photos named in list_images.txt and draws their inliers into eval_match.png.
#   bash scripts/run_eval_match_images.sh IMAGES_PATH CHECKPOINT [DEVICES] [--name=value ...]
# Logs: extract_feature.log, match_images.log, in the project's folder.
set -euo pipefail
source "$(dirname "$0")/common.sh"
source "$(dirname "$0")/eval_common.sh"

usage="usage: bash scripts/run_eval_match_images.sh IMAGES_PATH CHECKPOINT [DEVICES] [--name=value ...]"
[ $# -ge 2 ] || die "$usage"
existing_folder "$1"
existing_file "$2"
options=("--eval_task=match" "--images_path=$(absolute_path "$1")" "--checkpoint_path=$(absolute_path "$2")")
shift 2
run_evaluation "$@"
