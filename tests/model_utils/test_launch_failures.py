"""What the launcher says of a job that failed: which worker, and why."""

import pytest

from model_utils.launch_failure import find_failure, last_error
from model_utils.worker_group import WAITED_IN_VAIN
from tests.helpers.launch import plan

pytestmark = pytest.mark.usefixtures("cpu_host")

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
    assert last_error(log) == wanted


def test_a_log_need_not_be_text(tmp_path):
    log = tmp_path / "worker.log"
    log.write_bytes(b"\xff\xfe\nerror: no shard at \xff\n")
    assert last_error(log).startswith("error: no shard at")


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
def test_a_failure_is_told_and_has_a_code(tmp_path, logs, msrun, was_asked, code, lines):
    environment = {"WORKERS": "4", "LOCAL_WORKERS": "2", "NODE_RANK": "1"}
    job = plan("tuning", LOG_ROOT=str(tmp_path), **environment)
    for rank in (2, 3):
        job.folder(rank).mkdir()
        job.log(rank).write_text(logs.get(rank, ""))
    own_log = tmp_path / "msrun" / "msrun.log"
    own_log.parent.mkdir()
    own_log.write_text(msrun)
    failure = find_failure(job, own_log, {66: 2, 77: 3}, was_asked)
    assert failure.code == code
    assert [line.replace(str(own_log.parent), "LOGS") for line in failure.lines] == lines
    # A mistake or a defect would be there again.
    expected = code == 1 and "ValueError" not in lines[0]
    assert failure.worker_was_lost == expected
