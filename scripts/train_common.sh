# Shared by the scripts that train: `source "$(dirname "$0")/train_common.sh"`, after common.sh.

# read_training_arguments USAGE STAGE [CHECKPOINT] [--name=value ...]
# Sets stage, checkpoint (absolute, or empty) and settings (an array), or ends with one line.
read_training_arguments() {
    local usage="$1" setting
    shift
    stage="${1:-}" checkpoint="" settings=()
    case "$stage" in
        tuning | attn) shift ;;
        *) die "$usage" ;;
    esac
    if [ $# -gt 0 ] && [[ "$1" != --* ]]; then
        [ -f "$1" ] || die "checkpoint $1 does not exist"
        checkpoint="$(absolute_path "$1")"
        shift
    elif [ "$stage" = attn ]; then
        die "attn needs the checkpoint of the tuning stage; $usage"
    fi
    for setting in "$@"; do
        [[ "$setting" == --*=* ]] || die "$setting is not of the form --name=value; $usage"
        settings+=("$setting")
    done
}

# train_in_background STAGE LOG COMMAND...
# Runs a training in the background with its output in LOG, whose last line says how it ended.
# Returns when the first step is done, or with the error and the exit code; DELF_WAIT=1 waits for the
# end.
train_in_background() {
    local stage="$1" log="$2" process code=0
    shift 2
    # The background shell outlives this one and writes the last line whatever happens.
    nohup bash -c '
        "$@" &
        child=$!
        # A plain kill of this shell is for the training, which writes a checkpoint first.
        trap "kill -TERM $child" TERM
        trap "kill -INT $child" INT
        code=0
        wait "$child" || code=$?
        while kill -0 "$child" 2>/dev/null; do code=0; wait "$child" || code=$?; done
        case "$code" in
            0) echo "TRAINING ENDED WELL" ;;
            130) echo "TRAINING STOPPED; the same command goes on with it" ;;
            *) echo "TRAINING FAILED, exit code $code" ;;
        esac
        exit "$code"
    ' train "$@" >"$log" 2>&1 </dev/null &
    process=$!
    # Wait for the first step, so that what is wrong with data, weights or settings is said here.
    while kill -0 "$process" 2>/dev/null && ! grep -q '^epoch: ' "$log" 2>/dev/null; do sleep 1; done
    if [ "${DELF_WAIT:-0}" = 1 ]; then
        # Ctrl-C and SIGTERM go to the training, which writes a checkpoint.
        trap 'kill -TERM $process 2>/dev/null || true' INT TERM
        wait "$process" || code=$?
        while kill -0 "$process" 2>/dev/null; do code=0; wait "$process" || code=$?; done
        trap - INT TERM
        tail -n 4 "$log"
        return "$code"
    fi
    if kill -0 "$process" 2>/dev/null; then
        say "Training ($stage) runs in the background as process $process; follow it with: tail -f $log"
    else
        wait "$process" || code=$?
        if [ "$code" != 0 ]; then grep '^error: ' "$log" >&2 || tail -n 4 "$log"; else tail -n 2 "$log"; fi
        return "$code"
    fi
}
