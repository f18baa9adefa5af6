"""Which Python runs the programs: the project's own virtual environment where it exists."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from src.common.leaving import hold_interrupt, leave_on_interrupt

PROJECT_ROOT = Path(__file__).resolve().parents[1]
#: Whether this is an installed package, not a clone of the project.
IS_INSTALLED = not (PROJECT_ROOT / "scripts" / "setup.sh").is_file()


def kept_root() -> Path:
    """Return where weights and results lie by default: the clone, or the cache of the user.

    For an installed package whose user has no home it is the folder that the program runs in.
    """
    if not IS_INSTALLED:
        return PROJECT_ROOT
    from src.common.user_cache import user_cache

    return user_cache() or Path.cwd()


def use_project_environment() -> None:
    """Continue in the project's `.venv` when this Python has no MindSpore.

    Called by a script before it imports anything heavy, so that `python3 train.py` works whichever
    `python3` the shell finds. Uses the standard library only. Ends with exit code 2 where there is
    no environment yet. MindSpore's own log is limited to errors unless GLOG_v says otherwise: its
    warnings are about the shapes inside the graph and missing Ascend libraries.

    From here until `run_command` begins, Ctrl-C ends the program with one line: importing takes a
    second, and an import that is cut in two says so at length.
    """
    leave_on_interrupt()
    import importlib.util

    os.environ.setdefault("GLOG_v", "3")
    # An installed package runs by the Python it is installed for, whatever that has.
    if IS_INSTALLED or importlib.util.find_spec("mindspore") is not None:
        return
    inside = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    python = PROJECT_ROOT / ".venv" / inside
    if not python.exists() or Path(sys.prefix).resolve() == python.parents[1].resolve():
        print(
            "error: MindSpore is not installed for this Python; run `bash scripts/setup.sh` in "
            f"{PROJECT_ROOT} first",
            file=sys.stderr,
        )
        raise SystemExit(2)
    hold_interrupt()
    os.execv(str(python), [str(python), *sys.argv])
