from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from model_utils.environment import PROJECT_ROOT
from src.common import locks
from src.common.errors import UserError
from src.common.locks import Lock, NoLocksError, claim, wait_for
from tests.helpers.other_process import OtherProcess

HOLD = """
from src.common.locks import claim
claim(Path(sys.argv[1]), 'busy')
"""


def is_free(path: Path) -> bool:
    lock = Lock(path)
    taken = lock.take()
    lock.release(remove=True)
    return taken


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "folder.lock"


def test_a_claim_is_refused_while_another_process_has_it(path):
    with OtherProcess.holding(HOLD, path) as other:
        with pytest.raises(UserError, match="it is busy"), claim(path, "it is busy"):
            pass
        assert path.exists()
        assert other.finish() == (0, "")
    assert not path.exists()
    with claim(path, "it is busy"):
        assert path.exists()
    assert not path.exists()


def test_two_in_one_process_keep_each_other_out(path):
    with claim(path, "first"), pytest.raises(UserError, match="second"), claim(path, "second"):
        pass


def test_waiting_ends_with_the_holder_and_is_said_once(path, caplog):
    caplog.set_level(logging.INFO)
    with OtherProcess.holding(HOLD, path) as other:
        other.kill_soon()
        with wait_for(path, "another process is copying"):
            assert other.killed
    assert [record.getMessage() for record in caplog.records] == [
        "another process is copying; waiting for it"
    ]
    assert path.exists()
    caplog.clear()
    with wait_for(path, "another process is copying"):
        pass
    assert not caplog.records


CLAIM = """
import os, time
from src.common.locks import claim
path = Path(sys.argv[1])
with claim(path, 'kept out'):
"""
FORKS = {
    "a fork": """
        if os.fork() == 0:
            print('held', flush=True)
            time.sleep(600)
        time.sleep(600)
    """,
    "workers": """
        from src.common.worker_processes import in_processes
        for _ in in_processes(print, ['held'], 2):
            sys.stdout.flush()
            time.sleep(600)
    """,
    "MindSpore": """
        import mindspore as ms, mindspore.dataset as ds
        import multiprocessing
        def work(x):
            print('held', flush=True)
            time.sleep(600)
        summary = ms.SummaryRecord(str(path.parent / 'summary'))
        assert multiprocessing.active_children()
        data = ds.GeneratorDataset([1, 2, 3], 'x', shuffle=False, num_parallel_workers=1)
        data = data.map(work, 'x', num_parallel_workers=1, python_multiprocessing=True)
        next(data.create_tuple_iterator())
    """,
}


@pytest.mark.parametrize("kind", FORKS)
def test_a_lock_ends_with_its_process_though_what_it_forked_lives_on(path, kind):
    program = CLAIM + textwrap.indent(textwrap.dedent(FORKS[kind]), "    ")
    with OtherProcess(program, path) as other:
        other.says("held")
        forked = descendants(other.pid)
        assert forked
        assert not is_free(path)
        other.kill()
        try:
            assert is_free(path)
            assert kind != "a fork" or alive(forked)
        finally:
            for pid in alive(forked):
                os.kill(pid, 9)


def descendants(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    children = [int(child) for child in text.split()]
    return children + [deeper for child in children for deeper in descendants(child)]


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_forked_process_that_ends_leaves_the_lock_alone(path):
    try:
        with claim(path, "busy"):
            pid = os.fork()
            if pid == 0:
                sys.exit()
            os.waitpid(pid, 0)
            assert path.exists()
            with OtherProcess(f"{CLAIM}    pass", path) as other:
                assert "kept out" in other.finish()[1]
    except SystemExit:
        os._exit(0)  # the forked one, when the block is done for it


def test_files_that_their_holders_remove_let_nobody_in_beside_them(path):
    """Counting up in turns: a count is lost where two are in at once."""
    program = """
        import time
        from src.common.errors import (UserError)
        from src.common.locks import claim
        path = Path(sys.argv[1])
        count = path.with_name('count')
        done = 0
        while done < 60:
            try:
                with claim(path, 'busy'):
                    number = int(count.read_text())
                    time.sleep(0.0005)
                    count.write_text(str(number + 1))
                    done += 1
            except UserError:
                pass
    """
    path.with_name("count").write_text("0")
    others = [OtherProcess(program, path) for _ in range(4)]
    for other in others:
        with other:
            assert other.finish() == (0, "")
    assert path.with_name("count").read_text() == "240"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS])
def test_a_disk_without_locks_is_told_or_done_without(path, monkeypatch, caplog, code):
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(NoLocksError) as error, claim(path, "busy", "buy another disk"):
        pass
    reason = os.strerror(code)
    assert str(error.value) == f"cannot lock {path} ({reason}); buy another disk"
    with pytest.raises(NoLocksError, match="local disk"), wait_for(path, "somebody is in"):
        pass
    locks._warn.cache_clear()
    for ask in (wait_for, claim):
        with ask(path, "busy", no_locks=None):
            pass
    assert [record.getMessage() for record in caplog.records] == [
        f"{path.parent} cannot be locked ({reason})"
    ]
    assert not path.exists()


def test_a_file_that_cannot_be_written_is_named(path, monkeypatch):
    path.mkdir()  # stands for any reason; root may write anywhere
    with pytest.raises(OSError, match=re.escape(str(path))), claim(path, "busy"):
        pass
    path.rmdir()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space"), claim(path, "busy"):
        pass


def test_the_tree_is_imported_where_there_is_no_fcntl():
    """As on Windows."""
    program = (
        "import sys; sys.modules['fcntl'] = None\n"
        "import src.index.files, src.downloads.records, src.shards.build\n"
        "import model_utils.host_lock\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT_ROOT, check=True)
