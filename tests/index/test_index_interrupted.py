"""An index whose builder is killed, meets another one, or finds the disk full."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.index.build import build_index, remove_images, update_index
from src.index.choice import IndexSettings
from src.index.files import read_description
from src.index.folder import load_index
from tests.helpers.index import (
    ALL,
    FIRST,
    LATER,
    SMALL_LISTS,
    assert_same_answers,
    contents,
    list_some,
)

PROGRAM = """
import os, signal, sys
sys.path.insert(0, {root!r})
from src.index import build as program
from src.index import draft, files, sources, structure
steps = 0
def step(what):
    def wrapped(*arguments, **named):
        global steps
        steps += 1
        if steps == {number}: os.kill(os.getpid(), signal.SIGKILL)
        result = what(*arguments, **named)
        steps += 1
        if steps == {number}: os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped
for module, name in (
    (sources, "read_features"),
    (structure, "train"),
    (structure, "write_lists"),
    (structure, "measure_probes"),
    (draft, "write_description"),
    (files, "write_json"),
    (files, "remove_left_overs"),
    (os, "truncate"),
):
    setattr(module, name, step(getattr(module, name)))
program.{call}
print("done")
"""


def run_killed(call, number):
    """Run a call in a program of its own that kills itself before or after its n-th step."""
    program = PROGRAM.format(root=str(PROJECT_ROOT), call=call, number=number)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("number", [1, 3, 4, 8, 13, 17, 18, 19])
def test_a_killed_build_leaves_no_index_and_the_next_one_is_as_new(folder, number):
    index = folder / "index"
    settings = "program.IndexSettings('ivf', lists=4)"
    call = f"build_index({str(folder / 'features')!r}, {str(index)!r}, {settings})"
    killed = run_killed(call, number)
    if "done" not in killed.stdout:
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    build_index(folder / "features", folder / "fresh", IndexSettings("ivf", lists=4))
    if (index / "index.json").exists():
        assert_same_answers(index, folder / "fresh")
    else:
        with pytest.raises(UserError, match="no index"):
            load_index(index)
    build_index(folder / "features", index, IndexSettings("ivf", lists=4))
    (index / "index.lock").unlink(missing_ok=True)  # of one killed when all was done; harmless
    assert contents(index) == contents(folder / "fresh")


@pytest.mark.parametrize("number", [1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13])
def test_a_killed_update_leaves_the_old_or_the_new_index(folder, number):
    features, index = folder / "features", folder / "index"
    build_index(features, index, SMALL_LISTS)
    shutil.copytree(index, folder / "old")
    list_some(features, LATER)
    build_index(features, folder / "new", SMALL_LISTS)
    settings = "program.IndexSettings('ivf', lists=4, probes=4)"
    killed = run_killed(f"update_index({str(features)!r}, {str(index)!r}, {settings})", number)
    if "done" not in killed.stdout:
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    names = load_index(index).names
    assert names in (tuple(sorted(FIRST)), tuple(sorted(LATER)))
    assert_same_answers(index, folder / ("old" if names == tuple(sorted(FIRST)) else "new"))
    update_index(features, index, SMALL_LISTS)
    assert_same_answers(index, folder / "new")
    known = read_description(index)["files"]
    found = {path.name: path.stat().st_size for path in index.iterdir()}
    del found["index.json"]
    assert found == {name: file["bytes"] for name, file in known.items()}


def test_a_build_killed_while_it_writes_the_table_is_done_again(folder):
    """What is left is half a table; the folder is still one of an index."""
    features, index = folder / "features", folder / "index"
    program = (
        f"import os, signal, sys; sys.path.insert(0, {str(PROJECT_ROOT)!r})\n"
        "from src.index.build import build_index\n"
        "from src.index.summed_files import SummedFiles\n"
        "real = SummedFiles.write\n"
        "def write(self, name, content):\n"
        "    real(self, name, content[:100] if name.startswith('images-') else content)\n"
        "    if name.startswith('images-'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "SummedFiles.write = write\n"
        f"build_index({str(features)!r}, {str(index)!r})\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(index.glob("images-*.npz")) and not (index / "index.json").exists()
    build_index(features, index)
    build_index(features, folder / "fresh")
    assert contents(index) == contents(folder / "fresh")


def test_two_programs_do_not_write_one_index(folder):
    index = folder / "index"
    build_index(folder / "features", index)
    program = (
        f"import sys; sys.path.insert(0, {str(PROJECT_ROOT)!r})\n"
        "from pathlib import Path; import time\n"
        "from src.index.files import writing\n"
        f"with writing(Path({str(index)!r})):\n"
        "    print('locked', flush=True); time.sleep(600)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match="another process is writing the index"):
            remove_images(index, ["d"])
        assert load_index(index).names == tuple(sorted(FIRST))  # reading needs no lock
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    remove_images(index, ["d"])  # the lock ends with its process
    assert not (index / "index.lock").exists()


def test_a_folder_that_cannot_be_written(folder):
    (folder / "file").write_text("")
    with pytest.raises(UserError, match="cannot make the folder"):
        build_index(folder / "features", folder / "file" / "index")
    build_index(folder / "features", folder / "index")
    (folder / "index" / "index.lock").mkdir()  # stands for any reason; root may write anywhere
    with pytest.raises(IsADirectoryError, match=r"index\.lock"):
        remove_images(folder / "index", ["a"])


def test_a_full_disk_leaves_the_index_as_it_was(folder):
    """In a program whose files may not become larger than the index has to be."""
    features, index = folder / "features", folder / "index"
    build_index(features, index)
    before = contents(index)
    list_some(features, ALL)
    limit = (index / "descriptors-1.bin").stat().st_size + 100
    program = (
        "import resource, signal, sys\n"
        f"sys.path.insert(0, {str(PROJECT_ROOT)!r})\n"
        "from src.index.build import update_index\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        f"update_index({str(features)!r}, {str(index)!r})\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode != 0
    assert "File too large" in run.stderr
    assert contents(index) == before
