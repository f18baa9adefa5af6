# Shared by the scripts that train, after common.sh.

# read_stage USAGE STAGE [CHECKPOINT]
# Sets stage and checkpoint (absolute, or empty), or ends with one line.
read_stage() {
    stage="${2:-}" checkpoint=""
    case "$stage" in
        tuning | attn) ;;
        *) die "$1" ;;
    esac
    [ $# -le 3 ] || die "$4 is one word too many, or a setting that is not --name=value; $1"
    if [ $# -gt 2 ]; then
        [ -f "$3" ] || die "checkpoint $3 does not exist"
        checkpoint="$(absolute_path "$3")"
    elif [ "$stage" = attn ]; then
        die "attn needs the checkpoint of the tuning stage; $1"
    fi
}

# open_logs: set `logs`, the folder of the logs, which is made.
open_logs() {
    logs="$(absolute_path "${DELF_LOG_ROOT:-$PROJECT_ROOT}")"
    make_folder "$logs"
}

# hold_log LOG: end with one line while a training of this host writes to it (hosts of a job may share a
# disk). The training holds the log by descriptor 8, which its processes inherit, to its end, whatever that is.
hold_log() {
    local lock="${1%/*}/.${1##*/}.$(uname -n)-${DELF_NODE_RANK:-0}.lock" refused=0
    command -v flock >/dev/null || return 0
    expect_own "$lock"
    expect_writable "$lock"
    exec 8<>"$lock"
    # Where the disk has no locks, the lock of the checkpoint folder has to do.
    flock -n -E 9 8 2>/dev/null || refused=$?
    [ "$refused" != 9 ] ||
        die "a training that writes $1 still runs (process $(cat <&8));" \
            "wait for its end, stop it, or set DELF_LOG_ROOT to the folder of another log"
    log_lock="$lock"
}

# train_in_background STAGE LOG COMMAND...
# Runs a training in the background with its output behind what is in LOG, whose last line says how it
# ended. Returns when the first step is done, or with the error and the exit code; DELF_WAIT=1 waits for
# the end.
train_in_background() {
    local stage="$1" log="$2" log_lock="" process start code=0
    shift 2
    hold_log "$log"
    expect_writable "$log"
    printf '== %s %s\n' "$(date '+%Y-%m-%d %H:%M:%S')" "$*" 2>/dev/null >>"$log" || die "$log cannot be written; is the disk full?"
    start=$(($(wc -c <"$log") + 1))
    # The background shell outlives this one and writes the last line whatever happens.
    nohup bash -c '
        "$@" &
        child=$!
        # A plain kill of this shell is for the training, which writes a checkpoint first.
        trap "kill -TERM $child" TERM
        code=0
        wait "$child" || code=$?
        while kill -0 "$child" 2>/dev/null; do code=0; wait "$child" || code=$?; done
        case "$code" in
            0) echo "TRAINING ENDED WELL" ;;
            130) echo "TRAINING STOPPED; the same command goes on with it" ;;
            *) echo "TRAINING FAILED, exit code $code" ;;
        esac
        exit "$code"
    ' train "$@" >>"$log" 2>&1 </dev/null &
    process=$!
    [ -z "$log_lock" ] || printf '%s\n' "$process" >"$log_lock"
    said() { tail -c "+$start" -- "$log"; }
    # Wait for the first step, so that what is wrong with data, weights or settings is said here.
    while kill -0 "$process" 2>/dev/null && ! grep -q '^epoch: ' <(said); do sleep 1; done
    if [ "${DELF_WAIT:-0}" = 1 ]; then
        # Ctrl-C and SIGTERM go to the training, which writes a checkpoint.
        trap 'kill -TERM $process 2>/dev/null || true' INT TERM
        wait "$process" || code=$?
        while kill -0 "$process" 2>/dev/null; do code=0; wait "$process" || code=$?; done
        trap - INT TERM
        said | tail -n 4
        return "$code"
    fi
    if kill -0 "$process" 2>/dev/null; then
        say "Training ($stage) runs in the background as process $process; follow it with: tail -f $log"
    else
        wait "$process" || code=$?
        if [ "$code" != 0 ]; then grep '^error: ' <(said) >&2 || said | tail -n 4; else said | tail -n 2; fi
        return "$code"
    fi
}
