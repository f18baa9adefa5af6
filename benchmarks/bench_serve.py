"""The page's server under load: many searches at once on a folder of many described photos.

Features are made up (`synthetic_features.py`), and each search asks for more like a photo of the
folder: HTTP, ranking with RANSAC, and the picture of the query, without the network, whose time is
that of describing one photo (`bench_extraction.py`) for each photo that is sent; nor turned. Every
answer is
looked at: the other views of the building have to lead it.

    python benchmarks/bench_serve.py --photos 5000 --at_once 50
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import http.client
import json
import multiprocessing
import os
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.synthetic_features import VIEWS, FeatureWorld
from model_utils.config import load_config
from src.common.errors import UserError, run_command
from src.describe.recipe import Describer
from src.feature_io import Manifest, feature_path, write_features, write_manifest
from src.index.build import update_index
from src.index.folder import load_index
from src.photo_search.collection import Collection
from src.photo_search.open_folder import OpenFolder
from src.photo_search.settings import SearchSettings
from src.serve.__main__ import SETTINGS
from src.serve.app import Counter, server_of
from src.serve.decoding import Decoders
from src.serve.desk import Desk, key_of
from src.serve.settings import Reach, UploadSettings

HOST = "127.0.0.1"


class NoNetwork:
    """An engine that nobody asks: all photos are described."""

    name = "none"
    fingerprint = "none"
    has_attention = False

    def settings(self) -> dict[str, Any]:
        """See `Engine`."""
        return {}


def open_world(world: FeatureWorld, folder: Path) -> OpenFolder:
    """Write photos and features of a made-up world, index them, and return the open folder."""
    photos = folder / "photos"
    photos.mkdir()
    names = [f"{name}.jpg" for name in world.names]
    Image.new("RGB", (400, 300), (120, 140, 160)).save(photos / names[0])
    for name in names[1:]:
        os.link(photos / names[0], photos / name)
    settings = SearchSettings.from_config(
        load_config(
            [f"--work_path={folder / 'work'}", "--use_pca=False", "--query_rotations=0"],
            config_path=str(SETTINGS),
        )
    )
    opened = OpenFolder(settings, photos)
    describer = Describer(NoNetwork(), settings.describe.features, "made up")
    collection = Collection(settings, describer, photos, folder / "work")
    for name, features in zip(names, world):
        write_features(feature_path(collection.features, name), features, durable=False)
    manifest = Manifest(tuple((name, name) for name in names), {"synthetic": f"seed {world.seed}"})
    write_manifest(collection.features, manifest)
    update_index(collection.features, collection.index, settings.index)
    collection._images = [(name, name) for name in names]
    opened._collection, opened._index = collection, load_index(collection.index)
    return opened


def search(port: int, number: int, name: str) -> tuple[float, bool]:
    """Search once; return the seconds, and whether the answer is what it should be."""
    begun = time.perf_counter()
    connection = http.client.HTTPConnection(HOST, port, timeout=600)
    connection.request("POST", f"/api/photos/{key_of(name)}/search?top={VIEWS - 1}")
    answer = connection.getresponse()
    content = answer.read()
    seconds = time.perf_counter() - begun
    connection.close()
    if answer.status != 200:
        return seconds, False
    building = f"building_{number // VIEWS:06d}_"
    return seconds, json.loads(content)["hits"][0]["name"].startswith(building)


def load(port: int, names: list[str], numbers: list[int], at_once: int) -> dict[str, float]:
    """Search for photos, so many at once; return what was measured."""
    with ThreadPoolExecutor(at_once) as pool:
        begun = time.perf_counter()
        done = list(pool.map(lambda number: search(port, number, names[number]), numbers))
        wall = time.perf_counter() - begun
    seconds = np.array([each[0] for each in done])
    return {
        "searches": len(done),
        "wrong": sum(not right for _, right in done),
        "per_second": len(done) / wall,
        "median": float(np.median(seconds)),
        "p95": float(np.percentile(seconds, 95)),
    }


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=5000)
    parser.add_argument("--features", type=int, default=1000, help="of a photo")
    parser.add_argument("--at_once", type=int, default=50)
    parser.add_argument("--searches", type=int, default=200)
    args = parser.parse_args()
    world = FeatureWorld(args.photos, args.features)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        opened = open_world(world, Path(folder))
        print(f"{args.photos} photos made up and indexed in {time.perf_counter() - begun:.0f} s")
        limits = UploadSettings()
        decoders = Decoders(limits, 1)
        counter = Counter(Desk(opened, decoders), limits)
        server = server_of(counter, Reach(), host=HOST, port=0)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            thread.join(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        names = [f"{name}.jpg" for name in world.names]
        numbers = np.linspace(0, args.photos - 1, args.searches).astype(int).tolist()
        # Who asks is another process: it has no part in the server's time.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pool.submit(load, port, names, numbers[:2], 1).result()
            for at_once in (1, args.at_once):
                some = numbers if at_once > 1 else numbers[:20]
                found = pool.submit(load, port, names, some, at_once).result()
                print(
                    f"{at_once} at once: {found['searches']} searches, {found['wrong']} wrong, "
                    f"{found['per_second']:.2f} a second, median {found['median']:.2f} s, "
                    f"95th percentile {found['p95']:.2f} s"
                )
                if found["wrong"]:
                    raise UserError("answers were missing or wrong")
        server.should_exit = True
        thread.join()
        counter.close()
        decoders.close()


if __name__ == "__main__":
    run_command(main)
