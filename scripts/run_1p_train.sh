#!/usr/bin/env bash
# Trains a stage on one device, in the background.
#   bash scripts/run_1p_train.sh tuning
#   bash scripts/run_1p_train.sh attn CHECKPOINT
# Further settings go behind as --name=value (delf_config.yaml). The log is train_<stage>.log in the
# project's folder (or DELF_LOG_ROOT): what a training says goes behind what is there, the last line says
# how it ended. DELF_WAIT=1 waits for that end. A training that was stopped or killed goes on when the same
# command is given again.
set -euo pipefail
source "$(dirname -- "$0")/common.sh"
source "$PROJECT_ROOT/scripts/train_common.sh"

usage="usage: bash scripts/run_1p_train.sh tuning | attn CHECKPOINT [--name=value ...]"
read_arguments "$usage" "$@"
read_stage "$usage" ${words[@]+"${words[@]}"}
ensure_environment

open_logs
train_in_background "$stage" "$logs/train_$stage.log" \
    "$PYTHON" "$PROJECT_ROOT/train.py" "--train_state=$stage" \
    ${checkpoint:+"--checkpoint_path=$checkpoint"} ${settings[@]+"${settings[@]}"}
