"""The feature extractor on a device, with the weights of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model_utils.device import set_up_device
from src.common.errors import UserError
from src.describe.engines.in_process import InProcessEngine
from src.network.feature_weights import has_attention, read_feature_weights
from src.network.weights import Weights, fingerprint, load_weights

# The batch of a static network: the levels of the pyramid (delf_config), padded to one size.
STATIC_BATCH = 7


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


class MindSporeEngine(InProcessEngine):
    """MindSpore's graph of the network, on Ascend or CPU."""

    name = "mindspore"

    def __init__(
        self,
        checkpoint: str | Path,
        fingerprint: str,
        has_attention: bool,
        device_target: str = "auto",
        max_level_side: int = 2048,
    ):
        """Remember what to open.

        Args:
            checkpoint: the weights (.ckpt, or Keras .h5).
            fingerprint: of them.
            has_attention: whether they hold an attention.
            device_target: see `model_utils.device`.
            max_level_side: side in pixels of the levels on a device that wants static shapes.
        """
        super().__init__()
        self.checkpoint = str(checkpoint)
        self.fingerprint = fingerprint
        self.has_attention = has_attention
        self.device_target = device_target
        self.max_level_side = max_level_side

    def open(self, device_id: int) -> FeatureNetwork:
        """Load the weights and compile the network.

        Raises:
            UserError: the weights cannot be read, or are no longer those that were asked for.
        """
        weights = read_feature_weights(self.checkpoint)
        if fingerprint(weights) != self.fingerprint:
            raise UserError(
                f"{self.checkpoint} was replaced while it was in use; run the same command again"
            )
        return FeatureNetwork(
            weights, self.checkpoint, self.device_target, device_id, self.max_level_side
        )
