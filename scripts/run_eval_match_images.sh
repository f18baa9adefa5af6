#!/usr/bin/env bash
# Matches the two photos named in list_images.txt and draws their inliers into eval_match.png.
#   bash scripts/run_eval_match_images.sh IMAGES_PATH CHECKPOINT [DEVICES] [--name=value ...]
# Logs: extract_feature.log, match_images.log, in the project's folder.
set -euo pipefail
source "$(dirname -- "$0")/common.sh"
source "$PROJECT_ROOT/scripts/eval_common.sh"

usage="usage: bash scripts/run_eval_match_images.sh IMAGES_PATH CHECKPOINT [DEVICES] [--name=value ...]"
read_arguments "$usage" "$@"
expect_words "$usage" 2 3
existing_folder "${words[0]}"
existing_file "${words[1]}"
options=("--eval_task=match" "--images_path=$(absolute_path "${words[0]}")" "--checkpoint_path=$(absolute_path "${words[1]}")")
[ "${#words[@]}" -lt 3 ] || options+=("--devices=${words[2]}")
run_evaluation
