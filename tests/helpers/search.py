"""The search of a folder with a network that takes a moment, and counts what it is asked."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
from PIL import Image

from model_utils.config import load_config
from src.describe.engines import choice
from src.photo_search.__main__ import SETTINGS, search
from src.photo_search.settings import SearchSettings
from src.photo_search.weights import WEIGHTS_NAME
from tests.helpers.toy_engine import FakeEngine, FakeNetwork


class CountingNetwork(FakeNetwork):
    """Counts photos (one level each); may stop at one of them."""

    opened = 0
    photos = 0
    stop_at: int | None = None
    stop_by: object = None

    def __init__(self, device_id=0):
        super().__init__(device_id)
        CountingNetwork.opened += 1

    def __call__(self, images):
        if CountingNetwork.photos == CountingNetwork.stop_at:
            CountingNetwork.stop_by()
        CountingNetwork.photos += 1
        return super().__call__(images)


class CountingEngine(FakeEngine):
    """Runs that network."""

    def __init__(self, *_):
        super().__init__()

    def open(self, device_id):
        return CountingNetwork(device_id)


def interrupt():
    """Ctrl-C, at some photo."""
    raise KeyboardInterrupt


def be_killed():
    """The end without a chance to clean up, at some photo."""
    os.kill(os.getpid(), signal.SIGKILL)


def configuration(work: Path, rotations: str = "0", store: str = "files"):
    """Settings for the small network above, whose weights have been seen before."""
    work.mkdir(exist_ok=True)
    checkpoint = work / "weights.ckpt"
    if not checkpoint.exists():
        checkpoint.write_bytes(b"of the test")
        status = checkpoint.stat()
        known = {"stamp": [status.st_size, status.st_mtime_ns], "network": "fake"}
        text = json.dumps({str(checkpoint): {**known, "attention": True}})
        (work / WEIGHTS_NAME).write_text(text)
    config = load_config(
        [
            *(f"--work_path={work}", f"--checkpoint_path={checkpoint}", "--image_scales=1.0"),
            "--engine=mindspore",
            *("--pca_dim=4", "--max_feature_num=40", "--pca_images=4"),
            f"--query_rotations={rotations}",
            f"--feature_store={store}",
        ],
        config_path=str(SETTINGS),
    )
    return SearchSettings.from_config(config)


def find(photos, *queries, top=10, forget=False, rotations="0", box=None, store="files"):
    """Search with the small network; return what was found, photos described, networks opened."""
    choice.ENGINES["mindspore"] = CountingEngine
    CountingNetwork.opened = CountingNetwork.photos = 0
    settings = configuration(photos.parent / "work", rotations, store)
    found = search(settings, photos, queries, top, forget, box=box)
    return found, CountingNetwork.photos, CountingNetwork.opened


def find_in_a_process(photos, query, stop_at, results):
    """Search in a process of its own, killed at some photo; put names and count in a queue."""
    CountingNetwork.stop_at, CountingNetwork.stop_by = stop_at, be_killed
    found, count, _ = find(photos, query)
    results.put(([result.name for result in found[0].results], count))


def photo(path, seed, size=(224, 160)):
    """Save a photo of coloured blocks; the seed says which."""
    blocks = np.random.default_rng(seed).integers(0, 256, (20, 28, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(blocks).resize((224, 160), Image.Resampling.NEAREST).crop((0, 0, *size)).save(
        path
    )
    return path


def names(found):
    """The names that were found for the first query, best first."""
    return [result.name for result in found[0].results]


def snapshot(folder):
    """The time of every file below a folder."""
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def features_folder(photos):
    """Where the features of the photos are kept."""
    (folder,) = (photos.parent / "work").glob("*/features-*")
    return folder
