#!/usr/bin/env bash
# Trains a stage on one device, in the background.
#   bash scripts/run_1p_train.sh tuning
#   bash scripts/run_1p_train.sh attn CHECKPOINT
# Further settings go behind as --name=value (delf_config.yaml). The log is train_<stage>.log in the
# project's folder; its last line says how the run ended. DELF_WAIT=1 waits for that end.
set -euo pipefail
source "$(dirname "$0")/common.sh"

usage="usage: bash scripts/run_1p_train.sh tuning | attn CHECKPOINT [--name=value ...]"
stage="${1:-}"
case "$stage" in
    tuning | attn) shift ;;
    *) die "$usage" ;;
esac
options=("--train_state=$stage")
if [ $# -gt 0 ] && [[ "$1" != --* ]]; then
    [ -f "$1" ] || die "checkpoint $1 does not exist"
    options+=("--checkpoint_path=$(absolute_path "$1")")
    shift
elif [ "$stage" = attn ]; then
    die "attn needs the checkpoint of the tuning stage; $usage"
fi
for option in "$@"; do
    [[ "$option" == --*=* ]] || die "$option is not of the form --name=value; $usage"
    options+=("$option")
done
ensure_environment

log="$PROJECT_ROOT/train_$stage.log"
# The background shell outlives this one and writes the last line whatever happens to the training.
nohup bash -c '
    cd "$1" || exit 1
    shift
    "$@"
    code=$?
    if [ "$code" = 0 ]; then echo "TRAINING ENDED WELL"; else echo "TRAINING FAILED, exit code $code"; fi
    exit "$code"
' train "$PWD" "$PYTHON" "$PROJECT_ROOT/train.py" "${options[@]}" >"$log" 2>&1 </dev/null &
process=$!

started() { grep -q '^epoch: ' "$log" 2>/dev/null; }
# Wait for the first step, so that what is wrong with data, weights or settings is said here.
while kill -0 "$process" 2>/dev/null && ! started; do sleep 1; done
if [ "${DELF_WAIT:-0}" = 1 ]; then
    code=0
    wait "$process" || code=$?
    tail -n 4 "$log"
    exit "$code"
fi
if kill -0 "$process" 2>/dev/null; then
    say "Training ($stage) runs in the background as process $process; follow it with: tail -f $log"
else
    code=0
    wait "$process" || code=$?
    grep '^error: ' "$log" >&2 || tail -n 4 "$log"
    exit "$code"
fi
