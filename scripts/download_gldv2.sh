#!/bin/bash
# Download the training set of Google Landmarks v2 and unpack it.
#
#   bash scripts/download_gldv2.sh MIN MAX DATASET_PATH [OPTIONS]
#   bash scripts/download_gldv2.sh 0 499 /home/gldv2
#
# MIN and MAX are the numbers of the first and the last of the 500 archives (about 1 GB each).
# DATASET_PATH/train receives the four csv files, images_NNN.tar, md5.images_NNN.txt and the photos.
# Run it again after any failure: what is complete is kept and quickly passed over.
# Options: --accept_md5=images_NNN.tar (take it though its published sum is out of date), --no-unpack, --no-keep_archives, --base_url MIRROR, --retries N, --timeout SECONDS, --help.
# Environment: DELF_GLDV2_URL (a mirror), DELF_UNPACK=0, DELF_KEEP_ARCHIVES=0.

source "$(dirname -- "$0")/common.sh"

[ $# -ge 3 ] || die "usage: bash scripts/download_gldv2.sh MIN MAX DATASET_PATH [OPTIONS]"
ensure_environment
become_python "$PROJECT_ROOT/src/downloads/data_sets.py" gldv2 "$@"
