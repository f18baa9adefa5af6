#!/bin/bash
# Download Oxford5k and unpack it.
#
#   bash scripts/download_oxf.sh DATASET_PATH [OPTIONS]
#
# DATASET_PATH receives oxbuild_images/ (photos) and gt_files_170407/ (ground truth).
# Run it again after any failure: what is complete is kept and quickly passed over.
# Options: --accept_sum=NAME (take a file that is another one than at the first download), --no-keep_archives, --base_url MIRROR, --retries N, --timeout SECONDS, --help.
# Environment: DELF_OXFORD_URL (a mirror), DELF_KEEP_ARCHIVES=0.

source "$(dirname -- "$0")/common.sh"

[ $# -ge 1 ] || die "usage: bash scripts/download_oxf.sh DATASET_PATH [OPTIONS]"
ensure_environment
become_python "$PROJECT_ROOT/src/downloads/data_sets.py" oxford "$@"
