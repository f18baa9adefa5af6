from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from model_utils.environment import PROJECT_ROOT
from src.common.errors import is_of_system, naming_file, raise_if_of_system, system_line

KINDS = (
    *("ENOSPC", "EDQUOT", "EFBIG", "EACCES", "EPERM", "EROFS", "EISDIR", "ENOTDIR", "EEXIST"),
    *("ENAMETOOLONG", "ENOENT", "ELOOP", "EIO", "ESTALE", "EMFILE", "ENOMEM", "ETIMEDOUT"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_system_refuses_ends_with_the_path_and_the_reason(kind):
    program = (
        "import errno, os\n"
        "from src.common.errors import run_command\n"
        "def main():\n"
        f"    raise OSError(errno.{kind}, os.strerror(errno.{kind}), '/data/a b.npz')\n"
        "run_command(main)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and not done.stdout
    (line,) = done.stderr.splitlines()
    full = kind in ("ENOSPC", "EDQUOT")
    reason = "the disk is full" if full else os.strerror(getattr(errno, kind))
    assert line.startswith("error: ") and "/data/a b.npz" in line and reason in line


def test_the_code_is_told_where_standard_error_is_full():
    program = (
        "from src.common.errors import UserError, run_command\n"
        "def main():\n"
        "    raise UserError('x')\n"
        "run_command(main)\n"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT_ROOT, stderr=full)
    assert done.returncode == 2


def test_one_that_a_library_describes_at_length_is_told_in_short():
    long = "Unable to open file (name = 'w.h5', errno = 13, o_flags = 0)"
    line = system_line(PermissionError(errno.EACCES, long, "w.h5"))
    assert line.startswith("w.h5: Permission denied; ") and "o_flags" not in line


def test_a_current_folder_that_is_gone_is_told(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        os.getcwd()
    monkeypatch.chdir(tmp_path)
    assert system_line(caught.value).startswith("the current folder is gone; ")


def test_a_name_of_several_lines_is_told_in_one():
    line = system_line(FileNotFoundError(errno.ENOENT, "No such file", "a\nb.jpg"))
    assert "a b.jpg" in line and "\n" not in line


def test_of_a_renaming_the_new_name_is_told():
    error = IsADirectoryError(errno.EISDIR, "Is a directory", ".a.tmp", None, "a")
    assert system_line(error).startswith("a: Is a directory")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EIO])
def test_an_error_without_a_file_gets_its_name(tmp_path, code):
    with pytest.raises(OSError) as caught, naming_file(tmp_path / "images_000.tar.part"):
        raise OSError(code, os.strerror(code))
    assert caught.value.filename.endswith("images_000.tar.part")


def test_content_that_nobody_understands_is_no_error_of_the_system(tmp_path):
    for error in (OSError("no image"), ValueError("x"), OSError(errno.EINVAL, "Invalid argument")):
        assert not is_of_system(error)
        raise_if_of_system(error, tmp_path)
    raise_if_of_system(FileNotFoundError(errno.ENOENT, "gone"), tmp_path)  # the caller's to judge
    with pytest.raises(OSError, match=f"5.*{tmp_path}"):
        raise_if_of_system(OSError(errno.EIO, "Input/output error"), tmp_path)
