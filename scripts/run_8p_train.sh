#!/usr/bin/env bash
# Trains a stage on several devices or hosts, in the background.
#   bash scripts/run_8p_train.sh [RANK_TABLE_FILE] tuning
#   bash scripts/run_8p_train.sh [RANK_TABLE_FILE] attn CHECKPOINT
# Further settings go behind as --name=value (delf_config.yaml). With a rank table (Ascend) it says which
# devices there are; without one, all devices of this host are used (on CPU two workers), or what the
# environment says:
#   DELF_WORKERS        devices of all hosts together
#   DELF_LOCAL_WORKERS  devices of this host, the same on each
#   DELF_NODE_RANK      which host this is, from 0; give the command on each of them
#   DELF_MASTER_ADDR    address of host 0, and DELF_MASTER_PORT (8118; each restart takes the next one)
#   DELF_WAIT_SECONDS   how long the workers wait for each other (600)
#   DELF_RESTARTS       how often a job that has lost a worker goes on from its newest checkpoint (2)
# The log of worker X is train_parallel[X]/train_<stage>.log; checkpoints go to train_parallel0/ckpt. What
# the whole job says is in train_parallel_<stage>.log. DELF_WAIT=1 waits for the end. A training that was
# stopped or killed goes on when the same command is given again.
set -euo pipefail
source "$(dirname -- "$0")/common.sh"
source "$PROJECT_ROOT/scripts/train_common.sh"

usage="usage: bash scripts/run_8p_train.sh [RANK_TABLE_FILE] tuning | attn CHECKPOINT [--name=value ...]"
read_arguments "$usage" "$@"
rank_table=""
case "${words[0]:-}" in
    tuning | attn | "") ;;
    *)
        [ -f "${words[0]}" ] || die "rank table ${words[0]} does not exist; $usage"
        rank_table="$(absolute_path "${words[0]}")"
        words=("${words[@]:1}")
        ;;
esac
read_stage "$usage" ${words[@]+"${words[@]}"}
ensure_environment

open_logs
train_in_background "$stage" "$logs/train_parallel_$stage.log" \
    "$PYTHON" "$PROJECT_ROOT/model_utils/launch.py" ${rank_table:+"$rank_table"} "$stage" \
    ${checkpoint:+"$checkpoint"} ${settings[@]+"${settings[@]}"}
