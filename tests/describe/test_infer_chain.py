"""Preprocessing → C++ → postprocessing: the same DELF, and nothing lost when a part dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.engines.lite_program import LiteProgram, build_program
from src.describe.engines.mindspore_graph import FeatureNetwork, MindSporeEngine
from src.describe.folder import extract_folder
from src.describe.pca import Pca
from src.describe.tasks import PhotoTask, chosen_tasks, list_tasks
from src.feature_io import read_features, read_manifest
from src.network.feature_weights import read_feature_weights
from src.network.mindir import read_mindir
from src.network.weights import fingerprint
from tests.helpers.infer import repeated_to, textured, wait_for, write_photos
from tests.helpers.processes import hear_ctrl_c

CONFIG = DelfConfig(max_level_side=128, pca_dim=16)


@pytest.fixture(scope="module", autouse=True)
def _built():
    build_program()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain") / "photos of mine"
    write_photos(folder)
    return folder


@pytest.fixture(scope="module")
def pca():
    rng = np.random.default_rng(0)
    projection = np.linalg.qr(rng.normal(size=(1024, 16)))[0].T
    return Pca(np.full(1024, 0.01, "f4"), projection.astype("f4"), np.ones(16, "f4"))


def program(mindir, **changes):
    model = read_mindir(mindir)
    return LiteProgram(str(mindir), model.fingerprint, model.input_shape, **changes)


class PythonEngine(MindSporeEngine):
    """The network in Python; where that is asked for, each level padded as for a static model."""

    def __init__(self, checkpoint, padded):
        self.weights = read_feature_weights(checkpoint)
        super().__init__(checkpoint, fingerprint(self.weights), True, "CPU")
        self.padded = padded

    def open(self, device_id):
        network = FeatureNetwork(self.weights, "it", "CPU")
        if not self.padded:
            return network

        def call(images):
            features, scores = network(repeated_to(images, CONFIG.max_level_side))
            rows, columns = (-(-side // 32) for side in images.shape[2:])
            return features[:rows, :columns], scores[:rows, :columns]

        call.plan = None
        return call


def python_network(checkpoint, padded=False):
    return PythonEngine(checkpoint, padded)


def by_place(features):
    """Rows by scale and location."""
    places = [
        (round(float(s), 4), *np.round(xy, 2)) for s, xy in zip(features.scales, features.locations)
    ]
    assert len(set(places)) == len(features)
    return {place: row for row, place in enumerate(places)}


@pytest.mark.parametrize("kind", ["any_size", "static"])
def test_features_equal_those_of_the_python_path(
    tmp_path, photos, pca, attention_checkpoint, request, kind
):
    mindir = request.getfixturevalue(f"{kind}_mindir")
    extract_folder(photos, tmp_path / "cpp", program(mindir), CONFIG, pca)
    network = python_network(attention_checkpoint, padded=kind == "static")
    extract_folder(photos, tmp_path / "python", network, CONFIG, pca)
    names = read_manifest(tmp_path / "cpp").names
    assert names == read_manifest(tmp_path / "python").names and len(names) == 6
    for name in names:
        ours, theirs = (
            read_features(tmp_path / side / f"{name}.npz") for side in ("cpp", "python")
        )
        rows, others = by_place(ours), by_place(theirs)
        assert rows.keys() == others.keys() and rows
        order = [others[place] for place in rows]
        assert np.abs(ours.descriptors - theirs.descriptors[order]).max() < 1e-4
        assert ours.attention == pytest.approx(theirs.attention[order], rel=1e-4, abs=1e-5)


def test_the_manifest_says_which_engine_it_was(
    tmp_path, photos, pca, any_size_mindir, attention_checkpoint
):
    extract_folder(photos, tmp_path, program(any_size_mindir), CONFIG, pca)
    assert read_manifest(tmp_path).settings["engine"]["input"] == [1, 3, -1, -1]
    with pytest.raises(UserError, match="engine"):
        extract_folder(photos, tmp_path, python_network(attention_checkpoint), CONFIG, pca)


def test_bad_photos_are_reported_and_flat_ones_have_no_features(
    tmp_path, pca, any_size_mindir, caplog
):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        Image.fromarray(textured(60, 80, number)).save(photos / f"p{number}.png")
    Image.fromarray(np.full((50, 50, 3), 77, np.uint8)).save(photos / "flat.png")
    cut = photos / "cut.jpg"
    Image.fromarray(textured(90, 90)).save(cut)
    cut.write_bytes(cut.read_bytes()[:700])
    boxes = {"p1": (10.0, 10.0, 70.0, 50.0)}

    def describe():
        names = {task.name: task.name for task in list_tasks(photos)}
        tasks = chosen_tasks(photos, names, boxes)
        engine = program(any_size_mindir)
        return extract_folder(photos, tmp_path / "f", engine, CONFIG, pca, tasks, (0,), 0.5)

    summary = describe()
    assert summary.extracted == 5 and list(summary.failed) == ["cut"]
    assert "cut.jpg" in caplog.text
    assert len(read_features(tmp_path / "f" / "flat.npz")) == 0
    inside = read_features(tmp_path / "f" / "p1.npz").locations
    assert (inside >= 10).all() and (inside <= [50, 70]).all()
    boxed = [PhotoTask("p1", "p1.png", boxes["p1"])]
    (told,) = program(any_size_mindir).outputs(photos, boxed, CONFIG)
    assert (told.size, told.origin, told.photo_size) == ((40, 60), (10, 10), (60, 80))
    before = (tmp_path / "f" / "p0.npz").stat().st_mtime_ns
    again = describe()
    assert (again.extracted, again.skipped) == (0, 5)
    assert (tmp_path / "f" / "p0.npz").stat().st_mtime_ns == before


def test_an_impossible_model_is_one_line(tmp_path, photos, pca, any_size_mindir, static_mindir):
    def refuse(engine, config, message):
        with pytest.raises(UserError, match=message):
            extract_folder(photos, tmp_path / "f", engine, config, pca)

    refuse(program(any_size_mindir, device_target="Ascend"), CONFIG, r"Ascend 0 \(is the device")
    refuse(program(any_size_mindir, program="/no/program"), CONFIG, "cannot be started")
    assert not (tmp_path / "f").exists()  # the folder is not claimed by what cannot run
    large = DelfConfig(max_level_side=129, pca_dim=16)
    refuse(program(static_mindir), large, "a_odd: .* does not fit the model's input of 128x128")


# ------------------------------------------------------------------- parts that are killed


SCRIPT = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from src.common.errors import (run_command)
from src.describe.folder import extract_folder
from tests.describe.test_infer_chain import CONFIG, program
import dataclasses

config = dataclasses.replace(CONFIG, use_pca=False)
run_command(lambda: extract_folder({photos!r}, {features!r}, program({mindir!r}), config) and 0)
"""


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(24):
        Image.fromarray(textured(300, 400, number)).save(folder / f"p{number:02}.png")
    return folder


def start(photos, features, mindir):
    """Describe photos in a process of its own."""
    code = SCRIPT.format(
        root=str(PROJECT_ROOT),
        tests=str(PROJECT_ROOT / "tests"),
        photos=str(photos),
        features=str(features),
        mindir=str(mindir),
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )


def part_of(process, word):
    """Return the child whose command line holds a word."""

    def find():
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                if word in " ".join(child.cmdline()):
                    return child
            except psutil.Error:
                continue
        return None

    return wait_for(find)


def described(features):
    return sorted(path.stem for path in Path(features).glob("p*.npz"))


@pytest.mark.parametrize("victim", ["delf_infer", "preprocess.py", "whole"])
def test_a_killed_part_ends_all_and_the_next_run_goes_on(tmp_path, many, any_size_mindir, victim):
    features = tmp_path / "features"
    process = start(many, features, any_size_mindir)
    parts = [part_of(process, word) for word in ("delf_infer", "preprocess.py")]
    wait_for(lambda: len(described(features)) >= 2)
    if victim == "whole":
        process.kill()
    else:
        next(part for part in parts if victim in " ".join(part.cmdline())).kill()
    _, said = process.communicate(timeout=60)
    # Nothing is left running.
    _, alive = psutil.wait_procs(parts, timeout=30)
    assert not alive
    kept = described(features)
    assert 2 <= len(kept) < 24
    if victim != "whole":
        assert process.returncode == 2
        last = said.splitlines()[-1]
        name = "the inference program" if victim == "delf_infer" else "preprocessing"
        assert last.startswith(f"error: {name} was ended by SIGKILL")
        assert f"at photo p{len(kept):02};" in last and "run the same command again" in last
        assert "Traceback" not in said
    times = {name: (features / f"{name}.npz").stat().st_mtime_ns for name in kept}
    second = start(many, features, any_size_mindir)
    _, said = second.communicate(timeout=300)
    assert second.returncode == 0, said
    assert described(features) == [f"p{number:02}" for number in range(24)]
    assert all((features / f"{n}.npz").stat().st_mtime_ns == t for n, t in times.items())
    assert not list(features.glob(".*"))


def test_ctrl_c_ends_all_with_one_line(tmp_path, many, any_size_mindir):
    process = start(many, tmp_path / "features", any_size_mindir)
    parts = [part_of(process, word) for word in ("delf_infer", "preprocess.py")]
    wait_for(lambda: described(tmp_path / "features"))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said and "Traceback" not in said
    assert not psutil.wait_procs(parts, timeout=30)[1]


def test_a_failing_disk_ends_all(tmp_path, many, any_size_mindir, monkeypatch):
    import errno

    import src.describe.keepers as module

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_features", full)
    plain = DelfConfig(max_level_side=128, use_pca=False)
    with pytest.raises(OSError, match="No space left"):
        extract_folder(many, tmp_path / "f", program(any_size_mindir), plain)
    time.sleep(0.2)
    names = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    assert not [name for name in names if "delf_infer" in name or "preprocess" in name]


# ------------------------------------------------------------------- preprocessing by itself


def test_preprocessing_refuses_other_lists(tmp_path, many):
    command = [sys.executable, str(PROJECT_ROOT / "src" / "preprocess.py")]
    command += ["--images_path", str(many), "--tasks_from_stdin"]
    done = subprocess.run(command, input=b"{}x", capture_output=True, timeout=60)
    assert done.returncode == 2 and b"not JSON" in done.stderr
    done = subprocess.run(
        command, input=json.dumps([["a", "none.png", None]]).encode(), capture_output=True
    )
    assert done.returncode == 0 and b"none.png" in done.stdout


def test_preprocessing_meets_a_closed_pipe(many):
    command = [sys.executable, str(PROJECT_ROOT / "src" / "preprocess.py")]
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [*command, "--images_path", str(many)], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    os.read(reading, 100)
    os.close(reading)
    assert process.wait(30) not in (0, None)
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
