"""The launcher: what it makes of a command line, of failing workers, and of SIGTERM.

A stand-in for msrun starts and ends worker processes as msrun does.
"""

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

import psutil
import pytest

from model_utils import launch, launch_plan
from model_utils.environment import PROJECT_ROOT
from model_utils.launch import plan_job, run_job
from model_utils.worker_group import WAITED_IN_VAIN
from src.common.errors import UserError
from src.common.signals import CountedSignals


@pytest.fixture(autouse=True)
def cpu_host(monkeypatch):
    monkeypatch.setattr(launch_plan, "find_device_target", lambda: "CPU")


def table(folder, *hosts):
    """Write a rank table of (address, ranks) and return its path."""
    servers = [
        {
            "server_id": address,
            "device": [
                {"device_id": str(place), "device_ip": "192.168.100.1", "rank_id": str(rank)}
                for place, rank in enumerate(ranks)
            ],
            "host_nic_ip": "reserve",
        }
        for address, ranks in hosts
    ]
    path = folder / "hccl.json"
    path.write_text(json.dumps({"version": "1.0", "server_list": servers, "status": "completed"}))
    return str(path)


def plan(*arguments, **environment):
    """Plan a job with DELF_… settings."""
    return plan_job(arguments, {f"DELF_{name}": value for name, value in environment.items()})


def numbers(job):
    return job.workers, job.local_workers, job.node_rank


# What a command line says


def test_tuning_needs_nothing_else(tmp_path):
    job = plan("tuning", "--batch_size=4", "--data_url=", LOG_ROOT=str(tmp_path))
    assert job.stage == "tuning"
    assert job.options == (
        "--train_state=tuning",
        "--batch_size=4",
        "--data_url=",
        f"--save_ckpt={tmp_path}/train_parallel0/ckpt",
    )
    assert numbers(job) == (2, 2, 0)
    assert (job.master_addr, job.master_port, job.rank_table) == ("127.0.0.1", 8118, None)
    assert job.log(1) == tmp_path / "train_parallel1" / "train_tuning.log"


def test_logs_and_checkpoints_go_to_the_project_unless_told_otherwise():
    job = plan("tuning")
    assert job.log_root == PROJECT_ROOT
    assert job.options[-1] == f"--save_ckpt={PROJECT_ROOT}/train_parallel0/ckpt"
    assert plan("tuning", "--save_ckpt=here", "--seed=1").options[1:] == (
        *("--save_ckpt=here", "--seed=1"),
    )


@pytest.mark.parametrize(("folder", "is_own"), [("./ckpt/", False), ("/somewhere/else", True)])
def test_a_folder_set_in_a_configuration_is_used(tmp_path, folder, is_own):
    config = tmp_path / "own.yaml"
    config.write_text(f"save_ckpt: {folder}\n")
    job = plan("tuning", f"--config_path={config}", LOG_ROOT=str(tmp_path))
    given = [option for option in job.options if option.startswith("--save_ckpt=")]
    assert given == ([] if is_own else [f"--save_ckpt={tmp_path}/train_parallel0/ckpt"])


def test_attn_starts_from_a_checkpoint(tmp_path, monkeypatch):
    (tmp_path / "tuned.ckpt").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    job = plan("attn", "tuned.ckpt", "--save_ckpt=x")
    assert job.options == (
        "--train_state=attn",
        f"--checkpoint_path={tmp_path}/tuned.ckpt",
        "--save_ckpt=x",
    )
    assert job.log(0).name == "train_attn.log"
    # Tuning goes on from one of its own.
    assert f"--checkpoint_path={tmp_path}/tuned.ckpt" in plan("tuning", "tuned.ckpt").options


HOSTS = ("10.9.8.1", range(8)), ("10.9.8.2", range(8, 16))


def test_a_rank_table_says_who_takes_part(tmp_path, monkeypatch):
    table(tmp_path, *HOSTS)
    monkeypatch.chdir(tmp_path)
    for rank, first in (("0", 0), ("1", 8)):
        job = plan("hccl.json", "tuning", NODE_RANK=rank)
        assert numbers(job) == (16, 8, int(rank))
        assert job.ranks == range(first, first + 8)
        assert (job.master_addr, job.rank_table) == ("10.9.8.1", str(tmp_path / "hccl.json"))
        assert job.options[0] == "--train_state=tuning"
    job = plan("hccl.json", "tuning", MASTER_ADDR="10.1.1.1", WORKERS="16", LOCAL_WORKERS="8")
    assert (job.master_addr, *numbers(job)) == ("10.1.1.1", 16, 8, 0)


def test_this_host_finds_itself_in_the_rank_table(tmp_path):
    path = table(tmp_path, ("127.0.0.1", [2, 3]), ("10.9.8.1", [0, 1]))
    job = plan(path, "tuning")
    assert (numbers(job), job.master_addr) == ((4, 2, 1), "10.9.8.1")


def test_the_environment_says_where_the_hosts_meet():
    environment = {
        "WORKERS": "16",
        "LOCAL_WORKERS": "4",
        "NODE_RANK": "2",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "9000",
        "START_SECONDS": "30",
    }
    job = plan("tuning", **environment)
    assert numbers(job) == (16, 4, 2)
    assert job.ranks == range(8, 12)
    assert (job.master_addr, job.master_port, job.start_seconds) == ("10.0.0.1", 9000, 30)
    assert numbers(plan("tuning", WORKERS="3")) == (3, 3, 0)
    assert numbers(plan("tuning", **dict.fromkeys(environment, ""))) == (2, 2, 0)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {}, "^usage: "),
        (["--seed=1"], {}, "^usage: "),
        (["TABLE"], {}, "^usage: "),
        (["TABLE", "evaluate"], {}, "^usage: "),
        (["nowhere.json", "tuning"], {}, "rank table nowhere.json cannot be read"),
        (["attn"], {}, "attn needs the checkpoint"),
        (["attn", "--seed=1"], {}, "attn needs the checkpoint"),
        (["attn", "nowhere.ckpt"], {}, "nowhere.ckpt does not exist"),
        (["tuning", "--seed"], {}, "--seed is not of the form"),
        (["tuning", "--seed", "1"], {}, "--seed is not of the form"),
        (["tuning", "--seed=1", "more"], {}, "more is not of the form"),
        (["tuning"], {"WORKERS": "two"}, "DELF_WORKERS is 'two'.*from 1 to"),
        (["tuning"], {"WORKERS": "0"}, "DELF_WORKERS is '0'"),
        (["tuning"], {"WORKERS": "-2"}, "DELF_WORKERS is '-2'"),
        (["tuning"], {"LOCAL_WORKERS": "0"}, "DELF_LOCAL_WORKERS is '0'"),
        (["tuning"], {"NODE_RANK": "1.5"}, "DELF_NODE_RANK is '1.5'"),
        (["tuning"], {"MASTER_PORT": "80"}, "DELF_MASTER_PORT is '80'"),
        (["tuning"], {"START_SECONDS": "soon"}, "DELF_START_SECONDS is 'soon'"),
        (["tuning"], {"WORKERS": "8", "LOCAL_WORKERS": "3"}, "3 workers does not fit 8"),
        (["tuning"], {"WORKERS": "2", "LOCAL_WORKERS": "4"}, "4 workers does not fit 2"),
        (["tuning"], {"WORKERS": "8", "NODE_RANK": "1"}, "host 1 with 8 workers does not fit"),
        (
            ["tuning"],
            {"WORKERS": "8", "LOCAL_WORKERS": "4", "NODE_RANK": "2"},
            "host 2 with 4 workers does not fit 8",
        ),
        (["TABLE", "tuning"], {"WORKERS": "8"}, "DELF_WORKERS is 8, but .* holds 16 devices"),
        (["TABLE", "tuning"], {"NODE_RANK": "2"}, "DELF_NODE_RANK is 2, but .* holds 2 hosts"),
        (["TABLE", "tuning"], {"LOCAL_WORKERS": "4"}, "the ranks of 10.9.8.1 .* are not 0 to 3"),
    ],
)
def test_what_cannot_be_started_is_said_in_one_line(tmp_path, arguments, environment, message):
    path = table(tmp_path, *HOSTS)
    words = [path if word == "TABLE" else word for word in arguments]
    with pytest.raises(UserError, match=message) as error:
        plan(*words, **environment)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "hosts",
    [
        [("10.9.8.1", [0, 1]), ("10.9.8.2", [2])],
        [("10.9.8.1", [0, 2]), ("10.9.8.2", [1, 3])],
    ],
)
def test_msrun_cannot_number_these_hosts(tmp_path, hosts):
    path = table(tmp_path, *hosts)
    with pytest.raises(UserError, match=r"(each host (runs|holds) the same|have different) number"):
        plan(path, "tuning", NODE_RANK="0")


def test_the_command_line_of_msrun(tmp_path):
    path = table(tmp_path, *HOSTS)
    job = plan(path, "tuning", "--seed=2", NODE_RANK="1", START_SECONDS="30")
    program, *words = job.command(tmp_path / "logs")
    assert program == "msrun"
    script = words.index(str(PROJECT_ROOT / "train.py"))
    assert tuple(words[script + 1 :]) == job.options
    flags = dict(word.split("=", 1) for word in words[:script])
    assert (
        flags.items()
        >= {
            "--worker_num": "16",
            "--local_worker_num": "8",
            "--node_rank": "1",
            "--master_addr": "10.9.8.1",
            "--master_port": "8118",
            "--cluster_time_out": "30",
            "--log_dir": str(tmp_path / "logs"),
            "--join": "True",
            "--rank_table_file": path,
        }.items()
    )
    assert not any("rank_table" in word for word in plan("tuning").command(tmp_path))


# What a failed job says

KERNEL_ERROR = """\
Traceback (most recent call last):
  File "train.py", line 9, in <module>
    main()
RuntimeError:\x20
----------------------------------------------------
- Kernel error:
----------------------------------------------------
Launch kernel failed: Default/AllReduce-op0

----------------------------------------------------
- The Function Call Stack: (For framework developers)
----------------------------------------------------
In file collectives.py:18, 15~37/        return self.operation(values)/
"""
TRACEBACK = """\
epoch: 1 step: 1, loss is 2.5
Traceback (most recent call last):
  File "train.py", line 9, in <module>
    main()
ValueError: the shapes do not fit
"""
MISTAKE = "12:00:00 INFO tuning\nerror: no shard at nowhere; build the training set\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, ""),
        ("", ""),
        ("epoch: 1 step: 1, loss is 2.5\n", ""),
        (MISTAKE, "error: no shard at nowhere; build the training set"),
        (MISTAKE + TRACEBACK + KERNEL_ERROR, "error: no shard at nowhere; build the training set"),
        (TRACEBACK, "ValueError: the shapes do not fit"),
        (KERNEL_ERROR + TRACEBACK, "ValueError: the shapes do not fit"),
        (KERNEL_ERROR, "RuntimeError: Launch kernel failed: Default/AllReduce-op0"),
        (TRACEBACK + "[INFO] DISTRIBUTED(7): a note\n", "ValueError: the shapes do not fit"),
        ("urllib.error.URLError: <no answer>\n", "urllib.error.URLError: <no answer>"),
        ("cv2.error: OpenCV(4.11)\n", "cv2.error: OpenCV(4.11)"),
        ("KeyboardInterrupt\nMemoryError\n", "MemoryError"),
    ],
)
def test_a_log_says_why_its_worker_failed(tmp_path, text, wanted):
    log = tmp_path / "worker.log"
    if text is not None:
        log.write_text(text)
    assert launch._last_error(log) == wanted


def test_a_log_need_not_be_text(tmp_path):
    log = tmp_path / "worker.log"
    log.write_bytes(b"\xff\xfe\nerror: no shard at \xff\n")
    assert launch._last_error(log).startswith("error: no shard at")


def ended(pid, code):
    return f"[ERROR] ME(1:2): Worker process {pid} exit with exception. Error code: {code}.\n"


SILENCE = "the job was ended from outside this host, or a worker fell silent"


@pytest.mark.parametrize(
    ("logs", "msrun", "was_asked", "code", "lines"),
    [
        (
            {3: MISTAKE},
            ended(77, 2),
            False,
            2,
            ["error: worker 3: no shard at nowhere; build the training set"],
        ),
        # the others only saw that it had gone
        (
            {2: KERNEL_ERROR, 3: MISTAKE},
            ended(77, 2),
            False,
            2,
            ["error: worker 3: no shard at nowhere; build the training set"],
        ),
        ({2: TRACEBACK}, "", False, 1, ["error: worker 2: ValueError: the shapes do not fit"]),
        (
            {},
            ended(77, -9),
            False,
            1,
            ["error: worker 3 was ended by SIGKILL; is there memory enough?"],
        ),
        (
            {},
            ended(66, -11),
            False,
            1,
            ["error: worker 2 was ended by SIGSEGV; is there memory enough?"],
        ),
        # who waited in vain for the one that was killed says nothing of the cause
        (
            {2: f"error: worker 2 {WAITED_IN_VAIN} 4 workers\n"},
            ended(77, -9),
            False,
            1,
            ["error: worker 3 was ended by SIGKILL; is there memory enough?"],
        ),
        (
            {2: f"error: worker 2 {WAITED_IN_VAIN} 4 workers\n"},
            "",
            False,
            1,
            [f"error: worker 2: worker 2 {WAITED_IN_VAIN} 4 workers"],
        ),
        (
            {},
            ended(99, -9),
            False,
            1,
            ["error: a worker was ended by SIGKILL; is there memory enough?"],
        ),
        ({}, "", False, 1, [f"error: {SILENCE}; see LOGS and the logs of the other hosts"]),
        ({}, ended(77, 130), True, 130, ["interrupted; run the same command again to go on"]),
        ({}, ended(77, -15), True, 130, ["interrupted; run the same command again to go on"]),
        (
            {2: MISTAKE},
            ended(66, 2),
            True,
            2,
            ["error: worker 2: no shard at nowhere; build the training set"],
        ),
    ],
)
def test_a_failure_is_told_and_has_a_code(tmp_path, capsys, logs, msrun, was_asked, code, lines):
    environment = {"WORKERS": "4", "LOCAL_WORKERS": "2", "NODE_RANK": "1"}
    job = plan("tuning", LOG_ROOT=str(tmp_path), **environment)
    for rank in (2, 3):
        job.folder(rank).mkdir()
        job.log(rank).write_text(logs.get(rank, ""))
    own_log = tmp_path / "msrun" / "msrun.log"
    own_log.parent.mkdir()
    own_log.write_text(msrun)
    assert launch._report_failure(job, own_log, {66: 2, 77: 3}, was_asked) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.replace(str(own_log.parent), "LOGS").splitlines() == lines


# A job from its start to its end

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
    job = plan("tuning", LOG_ROOT=str(tmp_path / "logs"))
    quick = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 0.05)))
    monkeypatch.setattr(launch, "time", quick)

    def make(*codes):
        script = tmp_path / "bin" / "msrun"
        script.parent.mkdir()
        codes = json.dumps([textwrap.dedent(code) for code in codes])
        script.write_text(
            MSRUN.format(python=sys.executable, codes=codes, pids=pids, scheduler=SCHEDULER)
        )
        script.chmod(0o755)
        # The launcher looks for msrun beside its Python.
        monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
        return job

    yield make
    started = json.loads(pids.read_text())
    wait_until(lambda: not any(map(is_alive, started.values())), seconds=2)
    left = {name: pid for name, pid in started.items() if is_alive(pid)}
    for pid in left.values():
        os.kill(pid, signal.SIGKILL)
    assert not left


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_job_that_ends_well(msrun, capfd):
    say = """
        import os
        print("[INFO] a note of MindSpore to itself")
        print("epoch: 1 step: 1, loss is 2.5, worker", os.environ["RANK_ID"])
        print(os.environ["DELF_LOCAL_WORKERS"], "share this host")
    """
    job = msrun(say, say)
    assert run_job(job) == 0
    assert capfd.readouterr().out.splitlines() == [
        "epoch: 1 step: 1, loss is 2.5, worker 0",
        "2 share this host",
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
    assert SILENCE in capfd.readouterr().err


def test_the_command_says_its_mistakes_in_one_line():
    script = PROJECT_ROOT / "model_utils" / "launch.py"
    result = subprocess.run(
        [sys.executable, str(script), "attn"], capture_output=True, text=True, cwd=Path("/")
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: attn needs the checkpoint")
    assert result.stderr.count("\n") == 1
