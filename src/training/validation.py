"""How well a network tells the landmarks of photos that it was not trained on."""

from __future__ import annotations

import logging

import mindspore as ms
import numpy as np
from mindspore import nn

from model_utils.worker_group import WorkerGroup
from src.data_augmentation_parallel import PhotoBatches, find_shards
from src.shards.inventory import count_labels
from src.training.settings import TrainingSettings
from src.training.stages import photo_batches

LOG = logging.getLogger(__name__)


def open_validation(settings: TrainingSettings, group: WorkerGroup) -> PhotoBatches | None:
    """Open the validation photos beside the training shards; None, and a warning, without any."""
    photos = settings.photos
    shards = find_shards(photos.traindata_path, "validation")
    if not shards or not sum(sum(count_labels(shard).values()) for shard in shards):
        LOG.warning(
            "no validation photos beside %s: no accuracy is measured and no best checkpoint "
            "kept; build the shards with --validation_split_size",
            photos.traindata_path,
        )
        return None
    return photo_batches(
        photos, settings.seed, group, training=False, most_photos=settings.outputs.validate_photos
    )


def measure_accuracy(network: nn.Cell, photos: PhotoBatches, group: WorkerGroup) -> float:
    """Return the top-1 accuracy of a classifier, each worker measuring its part.

    The network is set to inference.
    """
    network.set_train(False)
    right = 0
    batches = photos.batches(output_numpy=True)
    for images, labels in batches:
        # A shorter last batch is filled up: another shape would compile the network again.
        filled = np.zeros((photos.batch_size, *images.shape[1:]), np.float32)
        filled[: len(images)] = images
        logits = network(ms.Tensor(filled)).asnumpy()[: len(images)]
        right += int((logits.argmax(1) == labels).sum())
    return float(group.sum([right])[0]) / photos.photos
