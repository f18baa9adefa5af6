#!/usr/bin/env bash
# Finds the photos of a folder that show what a query photo shows, and draws why they match.
#   bash scripts/run_search.sh PHOTOS_FOLDER [QUERY_PHOTO ...] [--top=N] [--box[=X,Y,WIDTH,HEIGHT]] [--forget] [--checkpoint_path=CKPT] [--name=value ...]
# The first time every photo is described (seconds each), later only new and changed ones. Without a
# query the folder is only described. --box looks for a part of one query; alone it makes a page to draw it on. What is kept lies in runs/search; the photos stay untouched.
# Features of photos that are gone are kept, should they come back, until --forget.
set -euo pipefail
source "$(dirname -- "$0")/common.sh"

usage="usage: bash scripts/run_search.sh PHOTOS_FOLDER [QUERY_PHOTO ...] [--top=N] [--box[=X,Y,WIDTH,HEIGHT]] [--forget] [--checkpoint_path=CKPT] [--name=value ...]"
switches="--forget --box"
read_arguments "$usage" "$@"
[ "${#words[@]}" -ge 1 ] || die "$usage"
[ -d "${words[0]}" ] || die "folder ${words[0]} does not exist; $usage"
for query in "${words[@]:1}"; do
    [ -f "$query" ] || die "query photo $query does not exist; $usage"
done
ensure_environment
ensure_weights
become_python "$PROJECT_ROOT/src/photo_search/__main__.py" ${settings[@]+"${settings[@]}"} -- "${words[@]}"
