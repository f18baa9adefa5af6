"""A network and an engine made of a few lines of NumPy, for what is not about networks."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.engines.in_process import InProcessEngine, network_outputs
from src.describe.pca import fit_pca
from src.extract_utils_np import select_features

CONFIG = DelfConfig(image_scales=(0.5, 1.0), pca_dim=4, max_feature_num=20)


class FakeNetwork:
    """Takes a few numbers from the pixels around the centre of each cell; 12 channels.

    Behaves as the real one does: levels of any size, or batches of a plan's sizes. Near the right
    and lower border of a level it reads the last pixels again; outside of it there is nothing.
    """

    def __init__(self, device_id=0, plan=None, trouble=None, started=None):
        self.plan = plan
        self.device_id = device_id
        self.trouble = trouble
        self.started = started
        self.calls = []

    def __call__(self, images, sides=None):
        self.calls.append(images.shape)
        self._meet_trouble()
        if self.trouble == "not a number" and images.mean() > 0.5:  # of bright photos
            images = np.full_like(images, np.nan)
        if self.plan is None:
            features = self._features(images[0])
        else:
            assert len(images) in (1, self.plan.batch) and images.shape[2:] in self.plan.sizes
            features = np.stack([self._padded(*one) for one in zip(images, sides)])
        return features, np.abs(features).mean(axis=-1)

    def _padded(self, image, sides):
        height, width = sides
        assert not image[:, height:].any() and not image[:, :, width:].any()
        cells = [-(-side // 32) for side in image.shape[1:]]
        features = np.full((*cells, 12), np.nan, np.float32)
        inside = self._features(image[:, :height, :width])
        features[: inside.shape[0], : inside.shape[1]] = inside
        return features

    @staticmethod
    def _features(image):
        padded = np.pad(image, ((0, 0), (0, 3), (0, 3)), mode="edge")
        height, width = image.shape[1:]
        channels = [
            padded[c, dy : dy + height : 32, dx : dx + width : 32]
            for c in range(3)
            for dy, dx in ((0, 0), (0, 2), (2, 0), (3, 3))
        ]
        return np.stack(channels, axis=-1) + np.float32(0.01)

    def _meet_trouble(self):
        if self.started:
            Path(f"{self.started}.{self.device_id}").touch()
        if self.trouble == "slow":
            # As MindSpore does while it computes.
            signal.signal(signal.SIGINT, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
            time.sleep(30)
        if self.trouble == "die" and self.device_id == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trouble == "defect" and self.device_id == 1:
            raise RuntimeError("the device is on fire")
        if self.trouble == "user error" and self.device_id == 1:
            raise UserError("the checkpoint is for something else")
        if self.trouble and self.device_id == 0:
            time.sleep(0.05)


class FakeEngine(InProcessEngine):
    """Runs `FakeNetwork`; remembers the networks it has opened in this process."""

    name = "fake"
    has_attention = True

    def __init__(self, fingerprint="fake", **options):
        super().__init__()
        self.fingerprint = fingerprint
        self.options = options

    def open(self, device_id):
        return FakeNetwork(device_id, **self.options)


class ActingEngine(FakeEngine):
    """Does something when the network is called for the n-th time in a process."""

    def __init__(self, at, action, **options):
        super().__init__(**options)
        self.at = at
        self.action = action

    def open(self, device_id):
        network = super().open(device_id)

        def call(images):
            if len(network.calls) == self.at:
                self.action()
            return network(images)

        call.plan = None
        return call


def extract_image(network, image, config, pca=None):
    """The features of pixels by a network."""
    return select_features(network_outputs(network, image, config), *image.shape[:2], config, pca)


def _pca():
    rng = np.random.default_rng(0)
    return fit_pca(rng.normal(size=(100, 12)).astype(np.float32), 6)


PCA = _pca()
