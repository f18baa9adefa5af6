#!/usr/bin/env bash
# Finds the photos of a folder that show what a query photo shows, and draws why they match.
#   bash scripts/run_search.sh PHOTOS_FOLDER [QUERY_PHOTO ...] [--top=N] [--forget] [--checkpoint_path=CKPT] [--name=value ...]
# The first time every photo is described (seconds each), later only new and changed ones. Without a
# query the folder is only described. What is kept lies in runs/search; the photos stay untouched.
# Features of photos that are gone are kept, should they come back, until --forget.
set -euo pipefail
source "$(dirname "$0")/common.sh"

usage="usage: bash scripts/run_search.sh PHOTOS_FOLDER [QUERY_PHOTO ...] [--top=N] [--forget] [--checkpoint_path=CKPT] [--name=value ...]"
weights="$PROJECT_ROOT/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
folder="" own_weights=""
for argument in "$@"; do
    case "$argument" in
        --checkpoint_path=* | --mindir_path=* | --config_path=*) own_weights=yes ;;
        --*=* | --forget) ;;
        -*) die "$argument is not of the form --name=value; $usage" ;;
        *)
            if [ -z "$folder" ]; then
                folder="$argument"
                [ -d "$folder" ] || die "folder $folder does not exist; $usage"
            else
                [ -f "$argument" ] || die "query photo $argument does not exist; $usage"
            fi
            ;;
    esac
done
[ -n "$folder" ] || die "$usage"
ensure_environment
if [ -z "$own_weights" ] && [ ! -f "$weights" ]; then
    bash "$PROJECT_ROOT/scripts/download_pretrained.sh" --weights_only || exit $?
fi
exec "$PYTHON" "$PROJECT_ROOT/src/photo_search/__main__.py" "$@"
