"""The folder of a stage's checkpoints: what is kept there, what goes, and who may write."""

import subprocess
import sys

import numpy as np
import pytest

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.network.weight_files import read_checkpoint, write_checkpoint
from src.training.checkpoints import CheckpointFolder, claimed
from src.training.state import read_record

WEIGHTS = {"backbone.w": np.zeros(3, np.float32), "classifier.w": np.ones(2, np.float32)}
RECORD = b'{"step": 7, "settings": {"seed": 3}}'
STATE = {
    "training.moments.backbone.w": np.full(3, 2, np.float32),
    "training.global_step": np.array(7, np.int32),
    "training.record": np.frombuffer(RECORD, np.uint8),
}
WHOLE = {**WEIGHTS, **STATE}


def write(path):
    path.write_bytes(b"weights")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_checkpoints_of_a_stage_are_kept(cpu, tmp_path):
    folder = CheckpointFolder(tmp_path, "tuning", keep=2)
    other = tmp_path / "checkpoint_delf_attn-1_1.ckpt"
    write(other)
    for epoch, step in ((1, 9), (1, 10), (2, 1)):
        folder.save(WHOLE, epoch, step)
    assert [path.name for path in folder.list()] == [
        "checkpoint_delf_tuning-1_10.ckpt",
        "checkpoint_delf_tuning-2_1.ckpt",
    ]
    assert other.exists()


def test_one_best_checkpoint_stands_beside_the_last_ones(cpu, tmp_path):
    folder = CheckpointFolder(tmp_path, "tuning", keep=2)
    assert folder.best() is None
    write(tmp_path / "best_delf_attn-1_1.ckpt")
    for step in (9, 10, 11):
        folder.save(WHOLE, 1, step)
        if step < 11:
            best = folder.save_best(WHOLE, 1, step)
    assert folder.best() == best == folder.save_best(WHOLE, 1, 10)
    assert names(tmp_path) == [
        "best_delf_attn-1_1.ckpt",
        "best_delf_tuning-1_10.ckpt",
        "checkpoint_delf_tuning-1_10.ckpt",
        "checkpoint_delf_tuning-1_11.ckpt",
    ]
    folder.save_best(WHOLE, 1, 3)
    assert folder.best().name == "best_delf_tuning-1_3.ckpt"


def test_a_checkpoint_that_cannot_be_written_removes_none(cpu, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no space")

    folder = CheckpointFolder(tmp_path, "tuning", keep=1)
    folder.save(WHOLE, 1, 1)
    folder.save_best(WHOLE, 1, 1)
    before = names(tmp_path)
    monkeypatch.setattr("src.training.checkpoints.write_checkpoint", fail)
    for save in (folder.save, folder.save_best):
        with pytest.raises(OSError):
            save(WHOLE, 1, 2)
    assert names(tmp_path) == before


@pytest.mark.parametrize("keep", [2, 3, 9])
def test_only_the_newest_holds_what_the_optimiser_needs(cpu, tmp_path, keep):
    folder = CheckpointFolder(tmp_path, "tuning", keep)
    for step in range(1, 6):
        folder.save({**WHOLE, "backbone.w": np.full(3, step, np.float32)}, 1, step)
    *older, newest = folder.list()
    assert len(older) == min(keep, 5) - 1
    assert read_checkpoint(newest).keys() == WHOLE.keys()
    for path in older:
        kept = read_checkpoint(path)
        assert kept.keys() == {*WEIGHTS, "training.record"}
        assert kept["backbone.w"][0] == int(path.stem.split("_")[-1])
        assert read_record(kept, path).step == 7
    assert read_checkpoint(folder.save_best(WHOLE, 1, 5)).keys() == kept.keys()


@pytest.mark.parametrize("keep", [1, 2])
def test_those_before_stay_until_the_new_one_is_read_back(cpu, tmp_path, monkeypatch, keep):
    folder = CheckpointFolder(tmp_path, "tuning", keep)
    folder.save(WHOLE, 1, 1)
    folder.save(WHOLE, 1, 2)
    before = {path.name: path.read_bytes() for path in folder.list()}

    def spoil(file, tensors):
        file.write(before["checkpoint_delf_tuning-1_2.ckpt"][:-9])

    monkeypatch.setattr("src.network.weight_files.write_tensors", spoil)
    with pytest.raises(UserError, match=r"tuning-1_3\.ckpt was not kept"):
        folder.save(WHOLE, 1, 3)
    assert {path.name: path.read_bytes() for path in folder.list()} == before


def test_weights_for_inference_stand_by_themselves(cpu, tmp_path):
    folder = CheckpointFolder(tmp_path, "attn", keep=1)
    assert folder.save_inference_weights() is None
    folder.save(WHOLE, 3, 4)
    path = folder.save_inference_weights()
    assert path.name == "weights_delf_attn-3_4.ckpt"
    assert read_checkpoint(path).keys() == {"backbone.w"}
    assert [path.name for path in folder.list()] == ["checkpoint_delf_attn-3_4.ckpt"]
    written = path.stat().st_mtime_ns
    assert folder.save_inference_weights().stat().st_mtime_ns == written


def damage(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_says_what_is_left(cpu, tmp_path):
    folder = CheckpointFolder(tmp_path, "attn", keep=2)
    assert folder.read_newest({"seed": 3}) is None
    folder.save(WHOLE, 1, 1)
    path, weights, record = folder.read_newest({"seed": 3})
    assert (path.name, record.step, weights.keys()) == (folder.list()[0].name, 7, WHOLE.keys())
    damage(path)
    with pytest.raises(UserError, match=r"1_1\.ckpt is damaged.*remove it to begin anew"):
        folder.read_newest({"seed": 3})
    path.unlink()
    folder.save(WHOLE, 1, 2)
    folder.save(WHOLE, 1, 3)
    damage(folder.list()[-1])
    wanted = r"1_3\.ckpt is damaged.*--checkpoint_path=.*attn-1_2\.ckpt --start_iter=8 and another"
    with pytest.raises(UserError, match=wanted):
        folder.read_newest({"seed": 3})
    folder.list()[-1].unlink()
    with pytest.raises(UserError, match=r"1_2\.ckpt holds the weights of step 7 without the opt"):
        folder.read_newest({"seed": 3})
    # As a training leaves them that was killed between the two, and earlier versions did.
    write_checkpoint(tmp_path / "checkpoint_delf_attn-1_2.ckpt", WHOLE)
    write_checkpoint(tmp_path / "checkpoint_delf_attn-1_3.ckpt", WHOLE)
    damage(folder.list()[-1])
    with pytest.raises(UserError, match=r"Remove it, and the training goes on .* attn-1_2|1_2"):
        folder.read_newest({"seed": 3})


def test_only_this_stage_s_temporaries_are_left_over(tmp_path):
    kept = [
        "checkpoint_delf_tuning-1_1.ckpt",
        "best_delf_tuning-1_1.ckpt",
        ".checkpoint_delf_attn-1_2.77.tmp.ckpt",
        ".best_delf_attn-1_2.77.tmp.ckpt",
        ".mine.77.tmp.ckpt",
        "train_tuning.jsonl",
    ]
    gone = [".checkpoint_delf_tuning-1_2.77.tmp.ckpt", ".best_delf_tuning-1_2.78.tmp.ckpt"]
    for name in (*kept, *gone):
        write(tmp_path / name)
    folder = CheckpointFolder(tmp_path, "tuning", keep=1)
    folder.remove_leftovers()
    assert names(tmp_path) == sorted(kept)


def test_a_killed_save_leaves_what_is_removed_as_a_leftover(cpu, tmp_path, monkeypatch):
    """The name of the temporary file is one of those that `remove_leftovers` knows."""
    seen = []
    monkeypatch.setattr("src.common.atomic_files.os.replace", lambda a, b: seen.append(a))
    folder = CheckpointFolder(tmp_path, "attn", keep=1)
    folder.save(WHOLE, 1, 1)
    folder.save_best(WHOLE, 1, 1)
    assert names(tmp_path) == sorted(path.name for path in seen) and len(seen) == 2
    folder.remove_leftovers()
    assert names(tmp_path) == []


def test_two_trainings_do_not_share_a_folder(tmp_path):
    """Locks are between processes: another one holds it first."""
    holder = (
        "import sys; from src.training.checkpoints import claimed\n"
        "with claimed(sys.argv[1], 'attn'): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(tmp_path / "ckpt")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": PROJECT_ROOT, "text": True}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another training of this stage"):
            claimed(tmp_path / "ckpt", "attn").__enter__()
        with claimed(tmp_path / "ckpt", "tuning"):
            pass
        other.kill()
    with claimed(tmp_path / "ckpt", "attn"):
        pass
    assert not list((tmp_path / "ckpt").iterdir())
