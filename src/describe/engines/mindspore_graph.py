"""The feature extractor on a device, with the weights of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model_utils.device import set_up_device
from src.common.errors import UserError
from src.describe.engines.in_process import InProcessEngine
from src.describe.engines.static_batches import StaticPlan
from src.network.feature_weights import has_attention, read_feature_weights
from src.network.weights import Weights, fingerprint, layout_of, load_weights


def softplus(x: np.ndarray) -> np.ndarray:
    """Return log(1 + exp(x)), the last function of the attention."""
    return np.logaddexp(x, np.float32(0))


class FeatureNetwork:
    """The DELF network on a device, from arrays to arrays.

    Called with images [1, 3, H, W] (float32, RGB (x − 128)/128) it returns features [h, w, 1024],
    not normalised, and scores [h, w], where h = ceil(H/32) and w = ceil(W/32). The cell (i, j) is
    centred on pixel (32 i, 32 j).

    With a plan it is called with images [N, 3, H, W] of the plan's sizes and the heights and widths
    of the levels in their upper left corners, int32 [N, 2], 0 being outside of them; it returns
    features [N, h, w, 1024] and scores [N, h, w], of which those of a level are the same as those
    of the level by itself. Each shape is compiled when it first comes.

    Attributes:
        fingerprint: identifies the weights.
        has_attention: whether the scores are those of a trained attention; where the weights have
            none, the scores are the L2 norms of the features.
        plan: None, or the inputs on a device that wants static shapes.
    """

    def __init__(
        self,
        weights: Weights,
        source: str,
        device_target: str = "auto",
        device_id: int = 0,
        plan: StaticPlan | None = None,
        jit_level: str | None = None,
    ):
        """Load the weights; for `jit_level` see `model_utils.device`."""
        set_up_device(device_target, device_id, jit_level)
        import mindspore as ms

        from src.delf_model import FeatureExtractor
        from src.describe.engines.padded_networks import PaddedFeatureExtractor

        self._tensor = ms.Tensor
        self.fingerprint = fingerprint(weights)
        self.has_attention = has_attention(weights)
        self.plan = plan
        layout = layout_of(weights)
        self._network = PaddedFeatureExtractor() if plan else FeatureExtractor(layout=layout)
        load_weights(
            self._network,
            weights,
            source,
            optional=() if self.has_attention else ("attention.",),
        )
        self._network.set_train(False)
        if not plan:
            # One compilation for every size of picture.
            self._network.set_inputs(ms.Tensor(shape=[1, 3, None, None], dtype=ms.float32))

    def __call__(
        self, images: np.ndarray, sides: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run the network; see the class for shapes."""
        inputs = [images] if self.plan is None else [images, sides]
        features, scores = self._network(*map(self._tensor, inputs))
        features = features.asnumpy().transpose(0, 2, 3, 1)
        if self.has_attention:
            scores = softplus(scores.asnumpy()[:, 0])
        else:
            scores = np.linalg.norm(features, axis=3)
        return (features, scores) if self.plan else (features[0], scores[0])


class MindSporeEngine(InProcessEngine):
    """MindSpore's graph of the network, on Ascend or CPU."""

    name = "mindspore"

    def __init__(
        self,
        checkpoint: str | Path,
        fingerprint: str,
        has_attention: bool,
        device_target: str = "auto",
        plan: StaticPlan | None = None,
        jit_level: str | None = None,
    ):
        """Remember what to open.

        Args:
            checkpoint: the weights (.ckpt, or Keras .h5).
            fingerprint: of them.
            has_attention: whether they hold an attention.
            device_target: see `model_utils.device`.
            plan: the inputs on a device that wants static shapes; None for one that does not.
            jit_level: how graphs run on an Ascend, see `model_utils.device`.
        """
        super().__init__()
        self.checkpoint = str(checkpoint)
        self.fingerprint = fingerprint
        self.has_attention = has_attention
        self.device_target = device_target
        self.plan = plan
        self.jit_level = jit_level

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
            weights, self.checkpoint, self.device_target, device_id, self.plan, self.jit_level
        )
