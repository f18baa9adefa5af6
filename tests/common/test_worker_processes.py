from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from src.common.errors import UserError
from src.common.worker_processes import in_processes
from tests.helpers.other_process import OtherProcess


def slow_first(number: int) -> int:
    time.sleep(0.2 if number == 0 else 0.0)
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise KeyError(number)
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_order_and_tasks_are_taken_as_they_are_needed():
    taken = []

    def tasks():
        for number in range(40):
            taken.append(number)
            yield number

    results = in_processes(slow_first, tasks(), 2)
    assert next(results) == 0
    assert len(taken) <= 6
    assert list(results) == [number * number for number in range(1, 40)]


def test_what_a_task_raises_is_raised_here():
    with pytest.raises(KeyError):
        list(in_processes(fail_at_three, range(9), 2))


def test_a_worker_that_dies_ends_the_work():
    with pytest.raises(UserError, match="a worker process died"):
        list(in_processes(die_at_three, range(9), 2))


def test_workers_end_with_their_parent():
    program = """
        import os, time
        from src.common.worker_processes import in_processes
        def work(number):
            os.write(1, f"{os.getpid()}\\n".encode())  # in one piece: both write to one pipe
            time.sleep(600)
        list(in_processes(work, range(2), 2))
    """
    with OtherProcess(program) as other:
        workers = [Path("/proc", other.line()) for _ in range(2)]
        assert all(worker.exists() for worker in workers)
        other.kill()
        end = time.monotonic() + 20
        while any(worker.exists() for worker in workers):
            assert time.monotonic() < end
            time.sleep(0.05)
