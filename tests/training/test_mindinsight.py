"""The summary for MindInsight is what MindSpore would have written, without its processes."""

import multiprocessing
import struct
import threading

import mindspore as ms
import pytest
from mindspore.train.summary_pb2 import Event

from src.training import mindinsight
from src.training.mindinsight import Summary

STEPS = {1: {"loss": 0.5, "learning_rate": 0.25}, 7: {"validation_accuracy": 0.75}}


def events(folder):
    """Read the one file of a folder: of each event the length, a sum, the bytes, a sum."""
    (path,) = folder.iterdir()
    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        found.append((Event.FromString(content[12 : 12 + length]), content[8:12]))
        content = content[16 + length :]
    return path.name, found


def test_it_is_what_mindspore_writes(cpu, tmp_path):
    with Summary(tmp_path / "ours") as summary:
        before = threading.active_count()
        for step, values in STEPS.items():
            summary.add(step, **values)
            # Whoever looks on sees it at once.
            assert [event.step for event, _ in events(tmp_path / "ours")[1]][-1] == step
        assert not multiprocessing.active_children() and threading.active_count() == before
    with ms.SummaryRecord(str(tmp_path / "theirs")) as record:
        for step, values in STEPS.items():
            for name, value in values.items():
                record.add_value("scalar", name, ms.Tensor(value, ms.float32))
            record.record(step)
    (name, ours), (their_name, theirs) = (events(tmp_path / who) for who in ("ours", "theirs"))
    time = name.split(".")[4]
    assert name.replace(time, "TIME") == their_name.replace(their_name.split(".")[4], "TIME")
    assert len(ours) == len(theirs) == 1 + len(STEPS)
    for (event, length_sum), (their_event, their_length_sum) in zip(ours, theirs):
        assert event.wall_time == pytest.approx(their_event.wall_time, abs=60)
        event.wall_time = their_event.wall_time
        assert event == their_event and length_sum == their_length_sum


def test_without_a_folder_nothing_is_written(tmp_path):
    with Summary(None) as summary:
        summary.add(1, loss=0.5)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_the_summary_and_not_the_training(cpu, tmp_path, monkeypatch, caplog):
    with Summary(tmp_path) as summary:
        summary.add(1, loss=0.5)

        def full(*_):
            raise RuntimeError("The disk space may be soon exhausted")

        monkeypatch.setattr(mindinsight.SummaryWriter, "write", full)
        summary.add(2, loss=0.4)
        summary.add(3, loss=0.3)
    assert [event.step for event, _ in events(tmp_path)[1]] == [0, 1]
    assert caplog.text.count("no more summary is written: The disk space") == 1
