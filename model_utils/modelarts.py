"""Training on ModelArts: data come from a bucket to the host's disk, results go back to it.

ModelArts starts `train.py` once for each device of a host, all at the same time. What is to be
copied is copied by one of these processes while the others wait for it. Notes about what was
copied lie beside the folders on the host (`host_lock.state_folder`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from model_utils.bucket import bring, copy_folder, read_note
from model_utils.config import Config
from model_utils.host_lock import Attendance, exclusive, make_folder, state_folder
from src.common.atomic_files import write_json
from src.common.errors import UserError, one_line

LOG = logging.getLogger(__name__)


class Job(NamedTuple):
    """What a training on ModelArts is told.

    Attributes:
        config: the settings, with `save_ckpt` and `save_summary` inside `output_path`.
        copy_out: copies to the bucket what is new in `output_path`, and removes the checkpoints
            there that were given up here. A failure is logged: what is missing goes the next time.
    """

    config: Config
    copy_out: Callable[[], None]


@contextlib.contextmanager
def modelarts_job(config: Config) -> Iterator[Job]:
    """Copy data and weights to this host, and what the training writes back to the bucket.

    Without `enable_modelarts` this yields `config` itself and copies nothing. Otherwise `data_url`
    is copied to `data_path` (archives in it are unpacked) and `checkpoint_url` to `load_path`, each
    once for all processes of the host; checkpoints that `train_url` holds already come back to
    `output_path`. Empty URLs are skipped.

    In the end `output_path` is copied to `train_url`, if anything in it changed: by the last
    process that leaves, and at once by one that leaves with an error, since the others may be
    killed on its account. Before, it is copied whenever `copy_out` is called.

    Raises:
        UserError: there is no moxing here, the folders lie in each other, a folder cannot be
            written, or a copy fails. What was raised inside comes out unchanged.
    """
    if not config.enable_modelarts:
        yield Job(config, lambda: None)
        return
    moxing = _import_moxing()
    data, weights, output = (
        Path(os.path.abspath(path))
        for path in (config.data_path, config.load_path, config.output_path)
    )
    _check_apart(data_path=data, load_path=weights, output_path=output)
    checkpoints = Path(config.save_ckpt).name or "ckpt"
    results = _Results(moxing, output, config.train_url, checkpoints)
    results.open()
    try:
        if config.data_url:
            bring(moxing, config.data_url, data, unpacked=True)
        if config.checkpoint_url:
            bring(moxing, config.checkpoint_url, weights, unpacked=False)
        summary = Path(config.save_summary).name or "summary"
        places = {"save_ckpt": str(output / checkpoints), "save_summary": str(output / summary)}
        yield Job(Config(**{**vars(config), **places}), results.copy_out)
    except BaseException as error:
        went_well = isinstance(error, SystemExit) and error.code in (None, 0)
        results.close(failed=not went_well)
        raise
    results.close(failed=False)


def _import_moxing() -> ModuleType:
    try:
        import moxing
    except ImportError as error:
        raise UserError(
            f"enable_modelarts needs the package moxing, which ModelArts has ({one_line(error)}); "
            "elsewhere set enable_modelarts to False"
        ) from error
    return moxing


def _check_apart(**folders: Path) -> None:
    """Refuse folders that would be copied with each other."""
    resolved = {name: folder.resolve() for name, folder in folders.items()}
    for name, folder in resolved.items():
        for other, above in resolved.items():
            if other != name and above in (folder, *folder.parents):
                raise UserError(
                    f"{name} ({folders[name]}) lies in {other} ({folders[other]}); "
                    "choose three separate folders"
                )


class _Results:
    """The folder that the processes of this host write to, and its copy in the bucket.

    The note `uploaded.json` holds the `url` of the job and the `files` that are there by now, as
    `_snapshot` gives them.
    """

    def __init__(self, moxing: ModuleType, folder: Path, url: str, checkpoints: str):
        self._moxing = moxing
        self._folder = folder
        self._url = url
        self._checkpoints = checkpoints
        self._note_path = state_folder(folder) / "uploaded.json"
        self._attendance = Attendance(folder)

    def open(self) -> None:
        """Register this process; the first one of a job makes the folder ready."""
        with exclusive(self._folder, f"making {self._folder} ready"):
            is_first = not self._attendance.others()
            self._attendance.join()
            try:
                make_folder(self._folder)
                if is_first:
                    self._start_job()
            except BaseException:
                self._attendance.leave()
                raise

    def _start_job(self) -> None:
        # Whatever an earlier job noted, files that are here now count as not uploaded: they may
        # have been removed from the bucket since.
        if read_note(self._note_path).get("url", self._url) != self._url:
            self._put_aside()
        found = _snapshot(self._folder)
        write_json(self._note_path, {"url": self._url, "files": {}})
        self._bring_checkpoints()
        if not found:
            write_json(self._note_path, {"url": self._url, "files": _snapshot(self._folder)})

    def _put_aside(self) -> None:
        """Move the files of a job with another URL out of the way."""
        names = sorted(os.listdir(self._folder))
        if not names:
            return
        aside = Path(tempfile.mkdtemp(prefix="earlier-", dir=state_folder(self._folder)))
        LOG.warning("%s holds the results of another job; moved to %s", self._folder, aside)
        for name in names:
            shutil.move(str(self._folder / name), str(aside / name))

    def _bring_checkpoints(self) -> None:
        """Copy the checkpoints of an interrupted run from the bucket, where there are any."""
        exists = getattr(self._moxing.file, "exists", None)
        if not self._url or exists is None:
            return
        source = self._in_bucket(self._checkpoints)
        try:
            is_there = exists(source)
        except Exception as error:  # as in copy_folder
            raise UserError(f"cannot look into {source} ({one_line(error)})") from error
        if is_there:
            target = self._folder / self._checkpoints
            make_folder(target)
            copy_folder(self._moxing, source, str(target))

    def copy_out(self) -> None:
        """Copy what is new; see `Job`."""
        if not self._url:
            return
        try:
            with exclusive(self._folder, f"copying {self._folder} to {self._url}"):
                self._copy_what_is_new()
        except Exception as error:  # of a bucket that does not answer: no reason to end a training
            LOG.warning("not copied out yet: %s", one_line(error))

    def _copy_what_is_new(self) -> None:
        copy = getattr(self._moxing.file, "copy", None)
        if copy is None:
            self._upload()
            return
        files, there = _snapshot(self._folder), read_note(self._note_path).get("files", {})
        # What is hidden is being written.
        files = {n: s for n, s in files.items() if not os.path.basename(n).startswith(".")}
        for name in sorted(name for name in files if files[name] != there.get(name)):
            LOG.info("copying %s to %s", name, self._url)
            copy(str(self._folder / name), self._in_bucket(name))
            there[name] = files[name]
            write_json(self._note_path, {"url": self._url, "files": there})
        for name in sorted(there.keys() - files.keys()):
            if os.path.dirname(name) == self._checkpoints and name.endswith(".ckpt"):
                self._moxing.file.remove(self._in_bucket(name))
            del there[name]
            write_json(self._note_path, {"url": self._url, "files": there})

    def _in_bucket(self, name: str) -> str:
        return f"{self._url.rstrip('/')}/{name}"

    def close(self, failed: bool) -> None:
        """Take this process off the list; copy the results out where that is due.

        With `failed` an error of the copy is logged: the one that ended the training counts.
        """
        try:
            with exclusive(self._folder, f"copying {self._folder} to {self._url}"):
                self._attendance.leave()
                if failed or not self._attendance.others():
                    self._upload()
        except Exception as error:
            if not failed:
                raise
            LOG.error("the results are not copied out: %s", one_line(error))

    def _upload(self) -> None:
        files = _snapshot(self._folder)  # before the copy: what changes meanwhile goes next time
        note = {"url": self._url, "files": files}
        if read_note(self._note_path) == note:
            return
        if not self._url:
            LOG.warning("train_url is empty: the results stay in %s", self._folder)
            return
        copy_folder(self._moxing, str(self._folder), self._url)
        write_json(self._note_path, note)


def _snapshot(folder: Path) -> dict[str, list[int]]:
    """Return size and time of modification of every file below a folder, by relative path."""
    files = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with contextlib.suppress(FileNotFoundError):  # a temporary file that got its name
                status = os.stat(path)
                files[os.path.relpath(path, folder)] = [status.st_size, status.st_mtime_ns]
    return files
