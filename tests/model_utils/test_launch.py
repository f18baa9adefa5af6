"""The launcher and its workers, from their start to their end, and what SIGTERM does to them.

A stand-in for msrun starts and ends worker processes as msrun does.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from model_utils import launch
from model_utils.environment import PROJECT_ROOT
from model_utils.launch import run_job
from src.common.signals import CountedSignals
from tests.helpers.launch import plan
from tests.helpers.processes import is_alive, wait_until

pytestmark = pytest.mark.usefixtures("cpu_host")

MSRUN = """\
#!{python} -S
import json, os, signal, subprocess, sys, time

folder = next(word[10:] for word in sys.argv if word.startswith("--log_dir="))
pids = {{}}

def start(role, name, rank, code):
    environment = {{**os.environ, "MS_ROLE": role, "RANK_ID": str(rank)}}
    with open(f"{{folder}}/{{name}}.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-S", "-u", "-c", code],
            stdout=log, stderr=log, env=environment, start_new_session=role == "MS_WORKER",
        )
    pids[name] = process.pid
    return process

scheduler = start("MS_SCHED", "scheduler", 0, {scheduler!r})
codes = json.loads({codes!r})
workers = [start("MS_WORKER", f"worker_{{n}}", n, code) for n, code in enumerate(codes)]
with open("{pids}.part", "w") as file:
    json.dump({{"msrun": os.getpid(), **pids}}, file)
os.rename("{pids}.part", "{pids}")
while any(worker.poll() != 0 for worker in workers):
    for worker in workers:
        if worker.poll():
            print(f"[ERROR] ME(1:2): Worker process {{worker.pid}} exit with exception. "
                  f"Error code: {{worker.poll()}}.", flush=True)
            for other in workers:
                if other.poll() is None:
                    os.killpg(other.pid, signal.SIGKILL)
            scheduler.wait()
            sys.exit(1)
    time.sleep(0.02)
scheduler.kill()
"""
FOREVER = "import time; time.sleep(60)"
# The scheduler is not to be asked: it would end the job.
SCHEDULER = f"import signal; signal.signal(signal.SIGTERM, lambda *_: print('asked')); {FOREVER}"


@pytest.fixture
def msrun(tmp_path, monkeypatch):
    """A job whose workers run given Python code, started by a stand-in for msrun."""
    pids = tmp_path / "pids.json"
    job = plan("tuning", LOG_ROOT=str(tmp_path / "logs"), RESTARTS="0")
    quick = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 0.05)))
    monkeypatch.setattr(launch, "time", quick)

    def make(*codes, restarts=0):
        script = tmp_path / "bin" / "msrun"
        script.parent.mkdir()
        codes = json.dumps([textwrap.dedent(code) for code in codes])
        script.write_text(
            MSRUN.format(python=sys.executable, codes=codes, pids=pids, scheduler=SCHEDULER)
        )
        script.chmod(0o755)
        # The launcher looks for msrun beside its Python.
        monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
        return dataclasses.replace(job, restarts=restarts)

    yield make
    started = json.loads(pids.read_text())
    wait_until(lambda: not any(map(is_alive, started.values())), seconds=2)
    left = {name: pid for name, pid in started.items() if is_alive(pid)}
    for pid in left.values():
        os.kill(pid, signal.SIGKILL)
    assert not left


def test_a_job_that_ends_well(msrun, capfd):
    say = """
        import os
        print("[INFO] a note of MindSpore to itself")
        print("epoch: 1 step: 1, loss is 2.5, worker", os.environ["RANK_ID"])
    """
    job = msrun(say, say)
    assert run_job(job) == 0
    assert capfd.readouterr().out.splitlines() == [
        "epoch: 1 step: 1, loss is 2.5, worker 0",
    ]
    for rank in (0, 1):
        assert f"loss is 2.5, worker {rank}" in job.log(rank).read_text()
        assert not os.path.isabs(os.readlink(job.log(rank)))


def test_a_worker_s_mistake_ends_the_job_with_its_message(msrun, capfd):
    job = msrun(FOREVER, "import sys; print('error: the disk is full'); sys.exit(2)")
    assert run_job(job) == 2
    assert capfd.readouterr().err.splitlines() == ["error: worker 1: the disk is full"]


def test_a_worker_that_is_killed_is_named(msrun, capfd):
    # By then the launcher knows which process is which worker.
    job = msrun("import os, time; time.sleep(0.7); os.kill(os.getpid(), 9)", FOREVER)
    assert run_job(job) == 1
    assert capfd.readouterr().err.splitlines() == [
        "error: worker 0 was ended by SIGKILL; is there memory enough?"
    ]


# Goes wrong the first times, and well in the end.
LOSES = """
    import os, sys, time
    with open("{tries}", "a+") as file:
        print("once", file=file)
        file.seek(0)
        number = len(file.readlines())
    print("epoch: 1 step:", number)
    if number <= {bad}:
        sys.stdout.flush()
        time.sleep(0.7)
        {then}
"""
KILLED = "error: worker 1 was ended by SIGKILL; is there memory enough?"


@pytest.mark.parametrize(("bad", "restarts"), [(1, 1), (2, 2), (1, 0), (3, 2)])
def test_a_job_that_lost_a_worker_is_started_again(msrun, tmp_path, capfd, bad, restarts):
    dies = LOSES.format(tries=tmp_path / "tries", bad=bad, then="os.kill(os.getpid(), 9)")
    waits = f"""
        import os, time
        print("worker 0 begins")
        while not (os.path.exists("{tmp_path}/tries") and
                   len(open("{tmp_path}/tries").readlines()) > {bad}):
            time.sleep(0.05)
    """
    job = msrun(waits, dies, restarts=restarts)
    assert run_job(job) == (0 if restarts >= bad else 1)
    told = capfd.readouterr()
    runs = min(bad, restarts) + 1
    assert told.out.count("worker 0 begins") == runs
    assert told.err.splitlines() == [KILLED] * min(bad, restarts + 1)
    # What was said in the runs that failed is still there.
    kept = sorted(path.name for path in job.folder(0).glob("msrun.lost*"))
    assert kept == [f"msrun.lost{number}" for number in range(1, runs)]
    for number in range(1, runs):
        log = job.folder(0) / f"msrun.lost{number}" / "worker_1.log"
        assert log.read_text() == f"epoch: 1 step: {number}\n"


@pytest.mark.parametrize("then", ["sys.exit('error: no shard')", "raise ValueError('a defect')"])
def test_a_job_that_would_fail_again_is_not_started_again(msrun, tmp_path, capfd, then):
    job = msrun(FOREVER, LOSES.format(tries=tmp_path / "tries", bad=9, then=then), restarts=2)
    assert run_job(job) == (2 if "error:" in then else 1)
    assert len((tmp_path / "tries").read_text().splitlines()) == 1


STOPS = """
    import signal, sys, time
    def stop(*_):
        print("a checkpoint is written")
        {then}
    signal.signal(signal.SIGTERM, stop)
    print("ready")
    time.sleep(60)
    sys.exit(1)
"""


def is_counted(handler):
    return isinstance(getattr(handler, "__self__", None), CountedSignals)


def send(number, job, times):
    """Send a signal to this process once the workers are ready, and again when they had it."""
    wait_until(lambda: is_counted(signal.getsignal(number)))
    for word in ("ready", "a checkpoint is written")[:times]:
        wait_until(lambda word=word: all(word in job.log(rank).read_text() for rank in job.ranks))
        os.kill(os.getpid(), number)


@pytest.fixture
def handlers():
    """Handlers of this test's own, should a signal come too early or too late."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: None) for number in numbers]
    yield [signal.getsignal(number) for number in numbers]
    after = [signal.signal(number, handler) for number, handler in zip(numbers, before)]
    assert not any(is_counted(handler) for handler in after)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_asks_the_workers_and_a_second_ends_them(msrun, capfd, handlers, number, times):
    # Asked once they end by themselves; those who do not are ended at the second time.
    then = "time.sleep(0.2); sys.exit(130)" if times == 1 else "signal.pause()"
    job = msrun(*[STOPS.format(then=then)] * 2)
    sender = threading.Thread(target=send, args=(number, job, times))
    sender.start()
    code = run_job(job)
    sender.join()
    assert code == 130
    assert capfd.readouterr().err.splitlines() == [
        "interrupted; run the same command again to go on"
    ]
    for rank in job.ranks:
        assert job.log(rank).read_text().count("a checkpoint is written") == 1
    assert (job.folder(0) / "msrun" / "scheduler.log").read_text() == ""
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_signal_before_there_are_workers_is_not_lost(msrun, capfd, handlers):
    job = msrun(*[STOPS.format(then="sys.exit(130)")] * 2)
    real = launch.subprocess.Popen

    def interrupted(*arguments, **options):
        process = real(*arguments, **options)
        threading.Thread(target=send_early).start()
        return process

    def send_early():
        wait_until(lambda: is_counted(signal.getsignal(signal.SIGTERM)))
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch.subprocess, "Popen", interrupted)
        assert run_job(job) == 130
    assert "interrupted" in capfd.readouterr().err


def test_no_worker_outlives_msrun(msrun, capfd):
    job = msrun(
        FOREVER, "import os, time; time.sleep(0.7); os.kill(os.getppid(), 9); time.sleep(60)"
    )
    assert run_job(job) == 1  # the fixture looks for what is left
    assert "a worker fell silent" in capfd.readouterr().err


def test_the_command_says_its_mistakes_in_one_line():
    script = PROJECT_ROOT / "model_utils" / "launch.py"
    result = subprocess.run(
        [sys.executable, str(script), "attn"], capture_output=True, text=True, cwd=Path("/")
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: attn needs the checkpoint")
    assert result.stderr.count("\n") == 1
