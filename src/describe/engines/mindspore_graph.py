"""The feature extractor on a device, with the weights of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model_utils.device import set_up_device
from src.common.signals import uninterrupted
from src.network.keras_h5 import read_weights
from src.network.weights import Weights, fingerprint, fold_batch_norm, load_weights

# The batch of a static network: the levels of the pyramid (delf_config), padded to one size.
STATIC_BATCH = 7


def read_feature_weights(checkpoint: str | Path) -> Weights:
    """Return what inference needs of a checkpoint (.ckpt) or of Keras weights (.h5), folded.

    That is the backbone up to conv4 and, where the checkpoint has one, the attention. Raises
    `UserError` for a file that cannot be read; what is missing is found when the network is built.
    """
    with uninterrupted():
        from src.delf_model import BN_EPSILON

    wanted = {
        name: value
        for name, value in read_weights(checkpoint).items()
        if name.startswith(("backbone.", "attention.")) and ".stage5." not in name
    }
    return fold_batch_norm(wanted, BN_EPSILON)


def has_attention(weights: Weights) -> bool:
    """Return whether the weights come from the attention stage."""
    return any(name.startswith("attention.") for name in weights)


def softplus(x: np.ndarray) -> np.ndarray:
    """Return log(1 + exp(x)), the last function of the attention."""
    return np.logaddexp(x, np.float32(0))


class FeatureNetwork:
    """The DELF network on a device, from arrays to arrays.

    Called with images [1, 3, H, W] (float32, RGB (x − 128)/128) it returns features [h, w, 1024],
    not normalised, and scores [h, w], where h = ceil(H/32) and w = ceil(W/32). A static network is
    called with exactly `static_shape` and returns the same with the batch axis in front. The cell
    (i, j) is centred on pixel (32 i, 32 j). `static`: None for what the device wants.

    Attributes:
        fingerprint: identifies the weights.
        has_attention: whether the scores are those of a trained attention; where the weights have
            none, the scores are the L2 norms of the features.
        static_shape: None, or the one input shape of a static network.
    """

    def __init__(
        self,
        weights: Weights,
        source: str,
        device_target: str = "auto",
        device_id: int = 0,
        max_level_side: int = 2048,
        static: bool | None = None,
    ):
        target = set_up_device(device_target, device_id)
        import mindspore as ms

        from src.delf_model import FeatureExtractor

        self._tensor = ms.Tensor
        self.fingerprint = fingerprint(weights)
        self.has_attention = has_attention(weights)
        self.static_shape: tuple[int, int, int, int] | None = None
        self._network = FeatureExtractor()
        load_weights(
            self._network,
            weights,
            source,
            optional=() if self.has_attention else ("attention.",),
        )
        self._network.set_train(False)
        if target == "Ascend" if static is None else static:
            self.static_shape = (STATIC_BATCH, 3, max_level_side, max_level_side)
        else:
            # One compilation for every size of picture.
            self._network.set_inputs(ms.Tensor(shape=[1, 3, None, None], dtype=ms.float32))

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run the network; see the class for shapes."""
        features, scores = self._network(self._tensor(images))
        features = features.asnumpy().transpose(0, 2, 3, 1)
        if self.has_attention:
            scores = softplus(scores.asnumpy()[:, 0])
        else:
            scores = np.linalg.norm(features, axis=3)
        return (features, scores) if self.static_shape else (features[0], scores[0])


def load_feature_network(
    checkpoint: str | Path,
    device_target: str = "auto",
    device_id: int = 0,
    max_level_side: int = 2048,
) -> FeatureNetwork:
    """Return the feature network of a checkpoint (.ckpt, or Keras .h5) on a device."""
    return FeatureNetwork(
        read_feature_weights(checkpoint), str(checkpoint), device_target, device_id, max_level_side
    )
