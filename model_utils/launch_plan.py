"""What is trained where: the command line and environment of run_8p_train.sh, made into a job."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from model_utils.config import DEFAULT_CONFIG, load_config
from model_utils.device import find_device_target
from model_utils.environment import PROJECT_ROOT
from model_utils.environment_number import environment_number
from model_utils.rank_table import Server, read_rank_table
from model_utils.worker_group import wait_seconds
from src.common.errors import UserError

STAGES = ("tuning", "attn")
USAGE = (
    "usage: bash scripts/run_8p_train.sh [RANK_TABLE_FILE] tuning | attn CHECKPOINT "
    "[--name=value ...]"
)
_PORT = 8118
_MOST_RESTARTS = 100  # each takes a port
_PORTS = (1024, 65535 - _MOST_RESTARTS)


@dataclass(frozen=True)
class Job:
    """What is trained, and this host's part in it."""

    stage: str
    options: tuple[str, ...]
    workers: int
    local_workers: int
    node_rank: int
    master_addr: str
    master_port: int
    start_seconds: int
    wait_seconds: int
    restarts: int
    rank_table: str | None
    log_root: Path

    @property
    def ranks(self) -> range:
        """The workers of this host."""
        first = self.node_rank * self.local_workers
        return range(first, first + self.local_workers)

    def folder(self, rank: int) -> Path:
        """Return the folder of a worker."""
        return self.log_root / f"train_parallel{rank}"

    def log(self, rank: int) -> Path:
        """Return the log of a worker."""
        return self.folder(rank) / f"train_{self.stage}.log"

    def command(self, log_folder: Path, restart: int = 0) -> list[str]:
        """Return the command line of msrun.

        A job that is started again meets at the next port: the hosts that have lost nothing still
        hold the last one, until they have waited long enough.
        """
        table = [f"--rank_table_file={self.rank_table}"] if self.rank_table else []
        return [
            "msrun",
            f"--worker_num={self.workers}",
            f"--local_worker_num={self.local_workers}",
            f"--node_rank={self.node_rank}",
            f"--master_addr={self.master_addr}",
            f"--master_port={self.master_port + restart}",
            f"--cluster_time_out={self.start_seconds + self.wait_seconds * bool(restart)}",
            f"--log_dir={log_folder}",
            "--join=True",
            # msrun would copy what one worker says to the screen; all logs are files here.
            "--tail_worker_log=-2",
            *table,
            str(PROJECT_ROOT / "train.py"),
            *self.options,
        ]


def plan_job(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Job:
    """Make a job of a command line and the environment.

    Raises `UserError` for wrong arguments, a rank table that does not fit, or numbers that do not.
    """
    log_root = Path(environment.get("DELF_LOG_ROOT") or PROJECT_ROOT).absolute()
    table, stage, options = _read_command_line(arguments)
    # What is wrong with the settings is said here, before anything is started.
    if _has_default_folder(load_config(options).save_ckpt, options):
        options.append(f"--save_ckpt={log_root / 'train_parallel0' / 'ckpt'}")
    servers = read_rank_table(table) if table else []
    workers, local, node_rank = _count_workers(servers, table, environment)
    address = servers[0].address if servers else "127.0.0.1"
    return Job(
        stage=stage,
        options=tuple(options),
        workers=workers,
        local_workers=local,
        node_rank=node_rank,
        master_addr=environment.get("DELF_MASTER_ADDR") or address,
        master_port=environment_number(environment, "DELF_MASTER_PORT", _PORT, *_PORTS),
        start_seconds=environment_number(environment, "DELF_START_SECONDS", 600, 1),
        wait_seconds=wait_seconds(environment),
        restarts=environment_number(environment, "DELF_RESTARTS", 2, 0, _MOST_RESTARTS),
        rank_table=str(Path(table).absolute()) if table else None,
        log_root=log_root,
    )


def _read_command_line(arguments: Sequence[str]) -> tuple[str | None, str, list[str]]:
    """Return the rank table, if one is given, the stage, and the options for train.py."""
    words = list(arguments)
    table = None
    if words and words[0] not in STAGES and not words[0].startswith("--"):
        table = words.pop(0)
    if not words or words[0] not in STAGES:
        raise UserError(USAGE)
    stage = words.pop(0)
    options = [f"--train_state={stage}"]
    if words and not words[0].startswith("--"):
        checkpoint = Path(words.pop(0)).absolute()
        if not checkpoint.is_file():
            raise UserError(f"checkpoint {checkpoint} does not exist")
        options.append(f"--checkpoint_path={checkpoint}")
    elif stage == "attn":
        raise UserError(f"attn needs the checkpoint of the tuning stage; {USAGE}")
    for word in words:
        if not re.fullmatch(r"--\w+=.*", word, re.DOTALL):
            raise UserError(f"{word} is not of the form --name=value; {USAGE}")
        if word.startswith("--train_state="):
            raise UserError(f"{word}: the stage is said before the settings; {USAGE}")
    return table, stage, options + words


def _count_workers(
    servers: Sequence[Server], table: str | None, environment: Mapping[str, str]
) -> tuple[int, int, int]:
    """Return how many workers there are, how many on this host, and which host this is.

    Args:
        servers: the hosts of the rank table; none without one.
        table: its path, for messages.
        environment: see `plan_job`.

    Raises:
        UserError: the numbers do not fit each other, or msrun cannot number the workers so.
    """
    default = sum(len(server.devices) for server in servers) or _default_workers()
    workers = environment_number(environment, "DELF_WORKERS", default, 1)
    if servers and workers != default:
        raise UserError(f"DELF_WORKERS is {workers}, but {table} holds {default} devices")
    node_rank = environment_number(environment, "DELF_NODE_RANK", _own_place(servers), 0)
    if servers and node_rank >= len(servers):
        raise UserError(f"DELF_NODE_RANK is {node_rank}, but {table} holds {len(servers)} hosts")
    if len({len(server.devices) for server in servers}) > 1:
        raise UserError(f"the hosts in {table} have different numbers of devices")
    local = len(servers[node_rank].devices) if servers else workers
    local = environment_number(environment, "DELF_LOCAL_WORKERS", local, 1)
    # msrun numbers the workers by node_rank * local_worker_num.
    if workers % local or (node_rank + 1) * local > workers:
        raise UserError(
            f"host {node_rank} with {local} workers does not fit {workers} workers: "
            "each host runs the same number, DELF_WORKERS is their sum"
        )
    if servers and set(servers[node_rank].devices) != set(
        range(node_rank * local, (node_rank + 1) * local)
    ):
        raise UserError(
            f"the ranks of {servers[node_rank].address} in {table} are not {node_rank * local} to "
            f"{(node_rank + 1) * local - 1}: each host holds the same number, one after the other"
        )
    return workers, local, node_rank


def _default_workers() -> int:
    """Return the Ascends of this host; two workers on CPU."""
    if find_device_target() == "CPU":
        return 2
    return len([path for path in Path("/dev").glob("davinci*") if path.name[7:].isdigit()])


def _own_place(servers: Sequence[Server]) -> int:
    """Return the place of this host in the rank table, by its addresses."""
    own = {address.address for some in psutil.net_if_addrs().values() for address in some}
    for place, server in enumerate(servers):
        if server.address in own:
            return place
    return 0


def _has_default_folder(save_ckpt: str, options: Sequence[str]) -> bool:
    """Tell whether save_ckpt is the default, `./ckpt` beside the configuration."""
    if any(option.startswith("--save_ckpt=") for option in options):
        return False
    given = [o.partition("=")[2] for o in options if o.startswith("--config_path=")]
    config_path = Path(given[-1] if given else DEFAULT_CONFIG).resolve()
    return Path(save_ckpt).resolve() in (config_path.parent / "ckpt", PROJECT_ROOT / "ckpt")
