"""The processes that train together, one a device, and what they tell each other."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from model_utils.environment_number import environment_number
from model_utils.rank_table import read_rank_table
from src.common.errors import UserError, first_line

# Arrays are sent in pieces of one size, so that there is one graph to compile: 64 MB of float32.
_PIECE = 1 << 24


def is_scheduler(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether msrun started this process to bring the workers together, not to train."""
    return environment.get("MS_ROLE") == "MS_SCHED"


def expects_others(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a launcher (msrun, a rank table, ModelArts) started several processes."""
    if "MS_ROLE" in environment:
        return True
    return (
        bool(environment.get("RANK_TABLE_FILE"))
        and environment_number(environment, "RANK_SIZE", 1) > 1
    )


def launched_device(device_id: int, environment: Mapping[str, str] = os.environ) -> int:
    """Return the device of this process: what its launcher says, else `device_id`.

    A rank table says it by the rank, otherwise DEVICE_ID does. Raises `UserError` for a rank table
    that does not hold this process.
    """
    if not expects_others(environment):
        return device_id
    table = environment.get("RANK_TABLE_FILE")
    if table:
        rank = environment_number(environment, "RANK_ID", 0)
        for server in read_rank_table(table):
            if rank in server.devices:
                return server.devices[rank]
        raise UserError(f"rank table {table} holds no rank {rank}")
    return environment_number(environment, "DEVICE_ID", device_id)


def wait_seconds(environment: Mapping[str, str]) -> int:
    """Return how long the workers wait for each other: DELF_WAIT_SECONDS."""
    return environment_number(environment, "DELF_WAIT_SECONDS", 600, 1, 1 << 16)


def waiting_times(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment by which MindSpore's workers wait long enough for each other.

    By default it is half a minute, in which a worker of a busy machine need not come: the first
    one may still be reading weights, another one photos, or none of them gets a processor. With
    DELF_WAIT_SECONDS (600) it is as long as that. What the environment sets itself stays.

    Raises `UserError` where DELF_WAIT_SECONDS is no number of seconds.
    """
    seconds = wait_seconds(environment)
    times = {
        # in a collective operation on CPU
        "MS_CPU_COMM_OP_TIMEOUT": seconds,
        # for a sign of life, and for an answer of the process that brings the workers together
        "MS_NODE_TIMEOUT": seconds,
        "MS_RECEIVE_MSG_TIMEOUT": seconds,
        # for the first meeting on Ascend, whose collective operations wait for half an hour
        "HCCL_CONNECT_TIMEOUT": min(max(seconds, 120), 7200),
    }
    return {name: str(value) for name, value in times.items() if not environment.get(name)}


def join_group() -> WorkerGroup:
    """Join the other processes of the job; alone where there are none. The device must be set.

    Raises `UserError` when the others cannot be reached. In the scheduler's process this returns
    only when the job has ended, by `SystemExit`.
    """
    if not expects_others():
        return WorkerGroup()
    os.environ.update(waiting_times(os.environ))
    import mindspore.communication as communication

    try:
        communication.init()
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"the workers cannot join each other: {first_line(error)}") from error
    rank, size = communication.get_rank(), communication.get_group_size()
    return WorkerGroup(rank, size, WorkerGroup(rank, size).count_same(_own_cores()))


def _own_cores() -> int:
    """Return a number, below 2^24, for the cores that this process shares with others.

    Whoever started the workers, those of one host have the same number, unless each was given cores
    of its own.
    """
    try:
        host = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        host = platform.node()
    shared = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "all"
    cores = f"{host} {shared}"
    return int.from_bytes(hashlib.sha256(cores.encode()).digest()[:3], "big")


WAITED_IN_VAIN = "waited in vain for another of the"
_LOST = re.compile(r"(AllReduce|Broadcast)-op\d|HCCL|Hccl|hccl")


class LostWorkersError(UserError):
    """Another worker of the job has ended or cannot be reached."""


@contextlib.contextmanager
def noticing_lost_workers(group: WorkerGroup) -> Iterator[None]:
    """Turn MindSpore's report of a failed collective operation into one line."""
    try:
        yield
    except RuntimeError as error:
        if group.size == 1 or not _LOST.search(str(error)):
            raise
        raise LostWorkersError(
            f"worker {group.rank} {WAITED_IN_VAIN} {group.size} workers, which "
            "has ended or cannot be reached: the logs of the others say why"
        ) from error


class WorkerGroup:
    """One of `size` workers, `local_size` of which share the cores of this host.

    All of them must call the same methods in the same order.

    The numbers travel as float32, which every backend can add up: whole numbers are exact up to
    2^24.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_size: int = 1):
        self.rank = rank
        self.size = size
        self.local_size = local_size

    @property
    def is_first(self) -> bool:
        """Whether this worker writes what the job leaves behind."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> np.ndarray:
        """Add up each of a few numbers over the workers."""
        return self.start_sum(values)()

    def mean(self, values: Sequence[float]) -> np.ndarray:
        """Average each of a few numbers over the workers."""
        return self.sum(values) / self.size

    def start_sum(self, values: Sequence[float]) -> Callable[[], np.ndarray]:
        """Begin to add up; the result is waited for when it is called."""
        own = np.asarray(values, np.float32)
        if self.size == 1:
            return lambda: own
        import mindspore as ms

        result = self._adder(ms.Tensor(own))
        return lambda: result.asnumpy()

    def mean_arrays(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Average float32 arrays over the workers."""
        return [array / np.float32(self.size) for array in self._together(arrays, "_adder")]

    def send_from_first(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the first worker's arrays to all; the others give arrays of the same shapes."""
        return self._together(arrays, "_sender")

    def wait(self) -> None:
        """Return when all workers have come here."""
        self.sum([0.0])

    def count_same(self, number: int) -> int:
        """Return how many workers give the same number, from 0 to 2^24 − 1, as this one."""
        numbers = np.zeros(self.size, np.float32)
        numbers[self.rank] = number
        return int((self.sum(numbers) == number).sum())

    def check_same(self, what: str, value: int) -> None:
        """Raise `UserError` on every worker when a number differs between them."""
        parts = np.array([value & 0xFFFF, value >> 16], np.float32)
        differs = (self.sum(parts) != parts * self.size).any()
        if self.sum([differs])[0]:
            raise UserError(
                f"{what} is {value} on worker {self.rank}, and not the same on all {self.size} "
                "workers: give every host the same data and settings"
            )

    def _together(self, arrays: Sequence[np.ndarray], operation: str) -> list[np.ndarray]:
        if self.size == 1 or not arrays:
            return list(arrays)
        import mindspore as ms

        flat = np.concatenate([np.asarray(array, np.float32).reshape(-1) for array in arrays])
        for start in range(0, len(flat), _PIECE):
            piece = np.zeros(min(_PIECE, 1 << (len(flat) - 1).bit_length()), np.float32)
            part = flat[start : start + len(piece)]
            piece[: len(part)] = part
            part[:] = getattr(self, operation)(ms.Tensor(piece)).asnumpy()[: len(part)]
        ends = np.cumsum([array.size for array in arrays])
        return [
            flat[end - array.size : end].reshape(array.shape) for array, end in zip(arrays, ends)
        ]

    @cached_property
    def _adder(self) -> object:
        from model_utils.collectives import AllReduce

        return AllReduce()

    @cached_property
    def _sender(self) -> object:
        from model_utils.collectives import SendFromFirst

        return SendFromFirst()
