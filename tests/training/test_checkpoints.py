"""The folder of a stage's checkpoints: what is kept there, what goes, and who may write."""

import subprocess
import sys

import numpy as np
import pytest

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.network.weight_files import write_checkpoint
from src.training.checkpoints import CheckpointFolder, claimed


def write(path):
    path.write_bytes(b"weights")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_checkpoints_of_a_stage_are_kept(tmp_path):
    folder = CheckpointFolder(tmp_path, "tuning", keep=2)
    other = tmp_path / "checkpoint_delf_attn-1_1.ckpt"
    write(other)
    for epoch, step in ((1, 9), (1, 10), (2, 1)):
        folder.save(write, epoch, step)
    assert [path.name for path in folder.list()] == [
        "checkpoint_delf_tuning-1_10.ckpt",
        "checkpoint_delf_tuning-2_1.ckpt",
    ]
    assert other.exists()


def test_one_best_checkpoint_stands_beside_the_last_ones(tmp_path):
    folder = CheckpointFolder(tmp_path, "tuning", keep=2)
    assert folder.best() is None
    write(tmp_path / "best_delf_attn-1_1.ckpt")
    for step in (9, 10, 11):
        folder.save(write, 1, step)
        if step < 11:
            best = folder.save_best(write, 1, step)
    assert folder.best() == best == folder.save_best(write, 1, 10)
    assert names(tmp_path) == [
        "best_delf_attn-1_1.ckpt",
        "best_delf_tuning-1_10.ckpt",
        "checkpoint_delf_tuning-1_10.ckpt",
        "checkpoint_delf_tuning-1_11.ckpt",
    ]
    folder.save_best(write, 1, 3)
    assert folder.best().name == "best_delf_tuning-1_3.ckpt"


def test_a_checkpoint_that_cannot_be_written_removes_none(tmp_path):
    def fail(path):
        raise OSError("no space")

    folder = CheckpointFolder(tmp_path, "tuning", keep=1)
    folder.save(write, 1, 1)
    folder.save_best(write, 1, 1)
    before = names(tmp_path)
    for save in (folder.save, folder.save_best):
        with pytest.raises(OSError):
            save(fail, 1, 2)
    assert names(tmp_path) == before


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


def test_a_killed_save_leaves_what_is_removed_as_a_leftover(cpu, tmp_path):
    """The name of the temporary file is one of those that `remove_leftovers` knows."""
    seen = []

    def killed(path):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("src.common.atomic_files.os.replace", lambda a, b: seen.append(a))
            write_checkpoint(path, {"weight": np.zeros(3, np.float32)})

    folder = CheckpointFolder(tmp_path, "attn", keep=1)
    folder.save(killed, 1, 1)
    folder.save_best(killed, 1, 1)
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
