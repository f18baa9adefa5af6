#!/usr/bin/env bash
# A page to search a folder of photos with, in the browser of this machine: drop a photo, drag a box, see what matches.
#   bash scripts/run_photo_search.sh PHOTOS_FOLDER [--port=8000] [--host=ADDRESS] [--token=TOKEN] [--keep_uploads=FOLDER] [--checkpoint_path=CKPT] [--name=value ...]
# The first time every photo is described (seconds each), later only new and changed ones; the page can be used
# meanwhile. What is kept lies in runs/search, as for run_search.sh; the photos stay untouched, and what is dropped on
# the page is not kept. Another address than this machine's own needs a token, which is made and printed.
set -euo pipefail
source "$(dirname -- "$0")/common.sh"

usage="usage: bash scripts/run_photo_search.sh PHOTOS_FOLDER [--port=8000] [--host=ADDRESS] [--token=TOKEN] [--keep_uploads=FOLDER] [--checkpoint_path=CKPT] [--name=value ...]"
weights="$PROJECT_ROOT/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
read_arguments "$usage" "$@"
expect_words "$usage" 1 1
[ -d "${words[0]}" ] || die "folder ${words[0]} does not exist; $usage"
own_weights=""
for setting in ${settings[@]+"${settings[@]}"}; do
    case "$setting" in
        --checkpoint_path=* | --mindir_path=* | --config_path=*) own_weights=yes ;;
    esac
done
ensure_environment
if [ -z "$own_weights" ] && [ ! -f "$weights" ]; then
    bash "$PROJECT_ROOT/scripts/download_pretrained.sh" --weights_only || exit $?
fi
become_python "$PROJECT_ROOT/src/serve/__main__.py" ${settings[@]+"${settings[@]}"} -- "${words[@]}"
