"""The summary for MindInsight, whose writers are processes of their own."""

import multiprocessing
import re
import signal
from pathlib import Path

from src.common.signals import interruptible
from src.training.mindinsight import Summary


def test_the_writers_of_the_summary_end_by_a_plain_sigterm(cpu, tmp_path):
    """MindSpore ends them so; a handler that they inherited could miss it, and all would wait."""
    with interruptible():
        ours = signal.getsignal(signal.SIGTERM)
        assert callable(ours)
        with Summary(tmp_path) as summary:
            summary.add(1, loss=0.5)
            (writer,) = multiprocessing.active_children()
            status = Path(f"/proc/{writer.pid}/status").read_text()
            caught = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)
            assert not caught >> (signal.SIGTERM - 1) & 1
            assert signal.getsignal(signal.SIGTERM) == ours
    assert not multiprocessing.active_children()
