"""The command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from model_utils.environment import PROJECT_ROOT
from src.build_feature_dataset import main
from src.index.build import build_index
from src.index.folder import load_index
from tests.helpers.index import contents, write_folder
from tests.helpers.processes import hear_ctrl_c


def test_command_line(tmp_path, features, capsys):
    paths = ["--features_path", str(features), "--index_path", str(tmp_path / "index")]
    main([*paths, "--index_kind=ivf", "--index_lists=4"])
    settings = load_index(tmp_path / "index").settings["index"]
    assert (settings["kind"], settings["lists"]) == ("ivf", 4)
    main(["--index_path", str(tmp_path / "index"), "--remove", "a", "b"])
    assert load_index(tmp_path / "index").names == ("c", "d")
    main([*paths, "--update", "--index_kind=ivf", "--index_lists=4"])
    assert load_index(tmp_path / "index").names == ("a", "b", "c", "d")
    for wrong in (["--features_path", str(features)], paths[2:], [*paths, "--remove", "a"]):
        with pytest.raises(SystemExit) as caught:
            main(wrong)
        assert caught.value.code == 2
    assert "--remove goes without" in capsys.readouterr().err


def test_mistakes_end_with_one_line_and_code_2(folder):
    build_index(folder / "features", folder / "index")
    path = folder / "index" / "locations-1.bin"
    os.truncate(path, 10)
    program = str(PROJECT_ROOT / "src" / "build_feature_dataset.py")
    run = subprocess.run(
        [sys.executable, program, f"--index_path={folder / 'index'}", "--remove", "d"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    errors = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "locations-1.bin has 10 bytes, not" in errors[0]
    assert "Traceback" not in run.stderr


def test_interrupting_the_command_keeps_the_index(tmp_path):
    names = [f"image_{number:03d}" for number in range(300)]
    write_folder(tmp_path / "features", dict.fromkeys(names, 200))
    build_index(tmp_path / "features", tmp_path / "index", names=names[:5])
    before = contents(tmp_path / "index")
    command = [sys.executable, str(PROJECT_ROOT / "src" / "build_feature_dataset.py"), "--update",
               f"--features_path={tmp_path / 'features'}", f"--index_path={tmp_path / 'index'}",
               "--index_kind=auto"]  # fmt: skip
    rows = tmp_path / "index" / "descriptors-1.bin"
    size = rows.stat().st_size
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c)
    while process.poll() is None and rows.stat().st_size == size:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    if process.returncode == 130:
        assert "interrupted" in errors
        assert contents(tmp_path / "index") == before
    else:  # it was faster
        assert process.returncode == 0
        assert load_index(tmp_path / "index").image_count == 300
