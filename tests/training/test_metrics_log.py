from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError
from src.training.curve import draw_curve, smoothed
from src.training.metrics_log import MetricsLog, read_metrics

ROOT = Path(__file__).resolve().parents[2]


def write_run(path, steps, last_step=0, **values):
    log = MetricsLog(path, last_step)
    for step in steps:
        log.add(step, loss=1.0 / step, **values)
    log.close()


def test_each_record_is_a_line_of_plain_json_at_once(tmp_path):
    path = tmp_path / "new" / "metrics.jsonl"
    log = MetricsLog(path)
    log.add(20, epoch=1, loss=0.5, validation_accuracy=None)
    # Read before the log is closed, as somebody does who watches the training.
    assert path.read_text() == '{"step": 20, "epoch": 1, "loss": 0.5}\n'
    log.add(40, loss=float("nan"), learning_rate=float("-inf"), photos_per_second=np.float32(2.5))
    log.add(np.int64(60), epoch=np.int32(2))
    log.close()
    _, second, third = path.read_text().splitlines()
    assert third == '{"step": 60, "epoch": 2}'
    assert json.loads(second, parse_constant=pytest.fail) == {
        "step": 40,
        "loss": None,
        "learning_rate": None,
        "photos_per_second": 2.5,
    }


def test_one_write_a_record(tmp_path, monkeypatch):
    # A reader must never see the beginning of a record without its end.
    log = MetricsLog(tmp_path / "metrics.jsonl")
    written = []
    log._file.close()
    monkeypatch.setattr(
        log, "_file", type("File", (), {"write": written.append, "close": lambda self: None})()
    )
    log.add(1, loss=2.0, epoch=1)
    assert written == [b'{"step": 1, "loss": 2.0, "epoch": 1}\n']


def test_a_resumed_training_holds_each_step_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write_run(path, [1, 20, 40, 60], epoch=1)
    with path.open("a") as file:
        file.write('{"step": 80, "lo')  # killed here
    # The last checkpoint was at step 50.
    write_run(path, [60, 80], last_step=50, epoch=2)
    assert [(record["step"], record["epoch"]) for record in read_metrics(path)] == [
        (1, 1),
        (20, 1),
        (40, 1),
        (60, 2),
        (80, 2),
    ]
    assert os.listdir(tmp_path) == ["metrics.jsonl"]


def test_a_new_training_begins_an_empty_log(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write_run(path, [1, 20])
    write_run(path, [1])
    assert [record["step"] for record in read_metrics(path)] == [1]


def test_resuming_without_an_earlier_log_and_from_an_unused_one(tmp_path):
    path = tmp_path / "metrics.jsonl"
    MetricsLog(path, last_step=10).close()
    assert read_metrics(path) == []
    MetricsLog(path, last_step=10).close()
    assert read_metrics(path) == []


def test_wherever_a_kill_cuts_the_file_the_whole_records_are_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = '{"step": 1, "loss": 0.25}\n{"step": 20, "loss": 0.125}\n'
    for length in range(len(whole)):
        path.write_text(whole[:length])
        complete = whole[:length].count("}")
        assert [record["step"] for record in read_metrics(path)] == [1, 20][:complete]


@pytest.mark.parametrize("damage", ['{"step": 20, "lo', "[1]", '{"loss": 1.0}', '{"step": "x"}'])
def test_a_damaged_line_is_named(tmp_path, damage):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n' + damage + '\n{"step": 40}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2"):
        read_metrics(path)
    with pytest.raises(UserError, match="line 2"):
        MetricsLog(path, last_step=40)
    assert path.read_text().count("\n") == 3  # nothing of it was lost


def test_bytes_that_are_no_text_are_a_damaged_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(UserError, match="line 1"):
        read_metrics(path)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.jsonl cannot be read"):
        read_metrics(tmp_path / "nowhere.jsonl")
    with pytest.raises(UserError, match="cannot be written"):
        MetricsLog(tmp_path)


def test_smoothing_keeps_a_constant_and_never_leaves_the_range():
    assert smoothed(np.full(50, 3.0)) == pytest.approx(3.0)
    noisy = np.random.default_rng(0).uniform(1, 2, 400)
    calm = smoothed(noisy)
    assert calm.shape == noisy.shape
    assert noisy.min() <= calm.min() and calm.max() <= noisy.max()
    assert np.abs(np.diff(calm)).mean() < np.abs(np.diff(noisy)).mean() / 5
    # The middle of an average is where it is drawn: a line stays a line, but for its ends.
    assert smoothed(np.arange(100.0))[10:-10] == pytest.approx(np.arange(10.0, 90.0))


def test_smoothing_of_few_values_is_the_values():
    assert smoothed(np.array([1.0, 5.0, 2.0])).tolist() == [1.0, 5.0, 2.0]
    assert smoothed(np.array([])).size == 0


def colours(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width >= 1000
        return {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}


def test_the_picture_holds_what_was_recorded(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in range(1, 200):
        log.add(step, loss=4 / step, learning_rate=0.01, photos_per_second=9.0)
    log.close()
    plain = draw_curve(tmp_path / "metrics.jsonl", tmp_path / "plain.png", "tuning")
    assert plain == tmp_path / "plain.png"
    log = MetricsLog(tmp_path / "metrics.jsonl", last_step=199)
    log.add(200, validation_accuracy=0.5)
    log.close()
    draw_curve(tmp_path / "metrics.jsonl", tmp_path / "validated.png", "tuning")
    accuracy = (0x2C, 0x8A, 0x4B)  # the colour of the curve of the accuracy
    assert accuracy in colours(tmp_path / "validated.png") - colours(plain)


@pytest.mark.parametrize(
    "records",
    [
        [{"step": 1, "loss": 2.5}],
        [{"step": 1, "loss": None}],
        [{"step": 7, "validation_accuracy": 0.25}],
        [{"step": 1, "loss": 0.0, "learning_rate": 0.0, "photos_per_second": 0.0}] * 30,
    ],
)
def test_little_to_draw_is_drawn(tmp_path, records):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    colours(draw_curve(path, tmp_path / "curve.png", "title with $ and _"))


def test_nothing_to_draw(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match="no record"):
        draw_curve(tmp_path / "metrics.jsonl", tmp_path / "curve.png", "")
    assert not (tmp_path / "curve.png").exists()


def test_command_line(tmp_path):
    write_run(tmp_path / "metrics.jsonl", [1, 20])

    curve = tmp_path / "curve.png"

    def run(metrics):
        return subprocess.run(
            [
                sys.executable,
                ROOT / "src/training/curve.py",
                "--metrics",
                metrics,
                "--output",
                curve,
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    done = run(tmp_path / "metrics.jsonl")
    assert done.returncode == 0, done.stderr
    colours(curve)
    failed = run(tmp_path / "nowhere.jsonl")
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
