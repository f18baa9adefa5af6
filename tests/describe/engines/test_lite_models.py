"""A model that the runtime of the C++ program does not read: a copy of an older version runs."""

from pathlib import Path

import numpy as np
import pytest

from src.delf_config import DelfConfig
from src.describe.engines.choice import EngineSettings, choose_engine
from src.describe.engines.lite_program import PROGRAM, build_program
from src.describe.engines.lite_runtime import newest_readable
from src.describe.engines.mindspore_graph import MindSporeEngine
from src.describe.tasks import list_tasks
from src.network.export import ExportSettings, export_model
from src.network.feature_weights import read_feature_weights
from src.network.mindir import read_mindir
from src.network.weights import fingerprint
from tests.helpers.infer import answer, photo_frame, run_program, stream_of, textured, write_photos

CONFIG = DelfConfig(max_level_side=96)
STATIC = (7, 3, 96, 96)


@pytest.fixture(scope="module", autouse=True)
def _built():
    build_program()


@pytest.fixture(scope="module")
def static_native(attention_checkpoint, tmp_path_factory):
    """What `export.py` writes, but for the size."""
    path = tmp_path_factory.mktemp("native") / "DELF_MindIR"
    return export_model(attention_checkpoint, path, ExportSettings(STATIC, "CPU"))


def runtime(folder: Path, says: str) -> Path:
    """A program in the place of ours whose runtime says something of a model."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 2\n")
    path.chmod(0o755)
    return path


def test_the_runtime_is_asked_what_it_reads(tmp_path):
    assert [newest_readable(version, PROGRAM) for version in (1, 2, 3)] == [1, 1, 1]
    refusal = "Catch exception: This software can only support the maximum mind ir version: 2, ..."
    assert newest_readable(3, runtime(tmp_path, refusal)) == 2
    assert newest_readable(3, runtime(tmp_path, "Build funcgraph failed!")) == 3
    assert newest_readable(3, tmp_path / "no program") == 3


def test_on_a_cpu_a_static_model_runs_as_a_copy_for_photos_of_any_size(
    tmp_path, attention_checkpoint, static_native, caplog
):
    caplog.set_level("INFO")
    work = tmp_path / "müller's work + more" / "models"
    settings = EngineSettings(
        mindir=str(static_native), device_target="CPU", max_level_side=96, models_path=work
    )
    engine = choose_engine(settings)
    network = fingerprint(read_feature_weights(attention_checkpoint))
    assert engine.fingerprint == network
    assert engine.input_shape == (1, 3, -1, -1)
    assert [path.name for path in work.iterdir()] == [f"{network}-1x3x0x0.mindir"]
    (said,) = [r.getMessage() for r in caplog.records if "does not read" in r.getMessage()]
    assert said == (
        f"{static_native} is MindIR of version 3, which this runtime does not read: a copy of "
        f"version 1 for photos of any size runs instead, {engine.model}"
    )
    write_photos(tmp_path / "photos")
    tasks = list_tasks(tmp_path / "photos")
    python = MindSporeEngine(attention_checkpoint, network, True, "CPU")
    found = list(engine.outputs(tmp_path / "photos", tasks, CONFIG))
    for ours, theirs in zip(found, python.outputs(tmp_path / "photos", tasks, CONFIG)):
        assert ours.name == theirs.name and len(ours.levels) == len(theirs.levels)
        for level, other in zip(ours.levels, theirs.levels):
            np.testing.assert_allclose(level.features, other.features, rtol=1e-3, atol=1e-4)
    # The second time it is there, for the checkpoint as well.
    made = Path(engine.model).stat()
    again = choose_engine(settings)
    of_checkpoint = EngineSettings("lite", str(attention_checkpoint), models_path=work)
    assert again.model == engine.model == choose_engine(of_checkpoint).model
    assert Path(engine.model).stat() == made


def test_on_ascend_the_copy_takes_what_the_model_takes(
    tmp_path, attention_checkpoint, static_native
):
    settings = EngineSettings(
        mindir=str(static_native), device_target="Ascend", models_path=tmp_path / "models"
    )
    engine = choose_engine(settings)
    copy = read_mindir(engine.model)
    assert (copy.version, copy.input_shape, engine.input_shape) == (1, STATIC, STATIC)
    assert copy.fingerprint == engine.fingerprint
    assert engine.model == f"{tmp_path}/models/{copy.fingerprint}-7x3x96x96-version1.mindir"
    # There is no Ascend here: what the copy computes is seen on the CPU.
    exported = ExportSettings(STATIC, "CPU", version=1)
    by_export = export_model(attention_checkpoint, tmp_path / "by_export", exported)
    levels = [textured(64, 96), textured(30, 40, 1)]
    ours, theirs = (
        run_program(f"--model={model}", stream=stream_of(photo_frame("p", *levels)))
        for model in (engine.model, by_export)
    )
    assert (ours.returncode, ours.stdout) == (0, theirs.stdout)
    assert len(answer(ours.stdout)[0][2]) == 2


def test_a_model_that_the_runtime_reads_is_run_as_it_is(
    tmp_path, static_native, static_mindir, monkeypatch
):
    assert choose_engine(EngineSettings(mindir=str(static_mindir))).model == str(static_mindir)
    newer = runtime(tmp_path, "ready")
    monkeypatch.setattr("src.describe.engines.choice.PROGRAM", newer)
    settings = EngineSettings(mindir=str(static_native), models_path=tmp_path / "models")
    engine = choose_engine(settings)
    assert (engine.model, engine.input_shape) == (str(static_native), STATIC)
    assert not (tmp_path / "models").exists()
