"""Windows and macOS: nothing that only Linux has is asked for without a guard."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.common.errors import UserError
from src.common.memory import peak_megabytes
from src.common.signals import how_it_ended
from src.describe.engines.lite_program import build_program
from src.index.summed_files import SummedFile
from tests.helpers import other_system

ROOT = Path(__file__).resolve().parents[2]


def test_every_module_is_imported_and_photos_are_searched_without_what_windows_lacks(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "tests.helpers.other_system", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.startswith("imported ")


def met_absence(tree):
    """The nodes that stand where an error, such as of what is missing, is caught."""
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    for node in ast.walk(tree):
        if isinstance(node, ast.With) and "suppress(" in ast.unparse(node.items[0]):
            blocks.append(node)
    return {id(child) for block in blocks for child in ast.walk(block)}


def asked_for(node):
    """What a node asks for that Windows lacks; "" for nothing."""
    if isinstance(node, ast.Import):
        return " ".join({alias.name for alias in node.names} & set(other_system.MODULES))
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        lacking = {"os": other_system.OF_OS, "signal": other_system.OF_SIGNAL}
        lacking["_signal"] = lacking["signal"]
        if node.attr in lacking.get(node.value.id, ()):
            return node.attr
    return ""


#: What is there where something else is that was asked after.
TOGETHER = {"POSIX_FADV_DONTNEED": "posix_fadvise"} | dict.fromkeys(
    ("SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK"), "pthread_sigmask"
)


def test_nothing_that_windows_lacks_is_asked_for_but_where_its_absence_is_met():
    """MindSpore's absence hides what stands below its import from the test above."""
    wrong = []
    for name in other_system.modules(ROOT):
        path = ROOT / name.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        met = met_absence(tree)
        for node in ast.walk(tree):
            asked = asked_for(node)
            is_looked_for = f'"{TOGETHER.get(asked, asked)}")' in text  # hasattr(os, "…")
            if asked and id(node) not in met and not is_looked_for:
                wrong.append(f"{name}:{node.lineno} {asked}")
    assert not wrong


def test_an_index_is_read_the_same_without_pread(tmp_path, monkeypatch):
    path = tmp_path / "rows.bin"
    path.write_bytes(bytes(range(256)) * 9000)
    file = SummedFile(path, path.stat().st_size, None)
    expected = [file._read_at(start, 1000) for start in (0, 70_000, 1_500_000)]
    monkeypatch.delattr(os, "pread")
    assert [file._read_at(start, 1000) for start in (0, 70_000, 1_500_000)] == expected
    assert expected[0] == path.read_bytes()[:1000]


def test_how_a_process_ended_is_told_by_signals_that_the_system_has(monkeypatch):
    assert how_it_ended(3) == "exit code 3"
    assert how_it_ended(None) == "exit code None"
    assert how_it_ended(-9) == "SIGKILL, perhaps for lack of memory"
    assert how_it_ended(-15) == "SIGTERM"


def test_memory_is_told_in_megabytes_or_not_at_all(monkeypatch):
    here = peak_megabytes()
    assert 10 < here < 1e6
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_megabytes() == pytest.approx(here / 1024, rel=0.2)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_megabytes() is None


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_the_program_says_in_a_line_that_it_needs_linux(system, monkeypatch):
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(UserError, match=r"built on Linux only .*--engine=openvino"):
        build_program()
