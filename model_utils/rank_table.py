"""The rank table: a JSON file that says which devices of which hosts train together."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from src.common.errors import UserError


@dataclass(frozen=True)
class Server:
    """A host of the job: its address, and the device of each rank on it."""

    address: str
    devices: dict[int, int]  # rank → device


def read_rank_table(path: str | Path) -> list[Server]:
    """Return the hosts of a rank table (version 1.0, as hccl_tools writes it), by their ranks.

    Raises:
        UserError: the file is missing, is no rank table, or its ranks do not count 0, 1, 2, …
    """
    path = Path(path)
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        servers = [
            Server(
                str(server["server_id"]),
                {int(d["rank_id"]): int(d["device_id"]) for d in server["device"]},
            )
            for server in table["server_list"]
        ]
    except OSError as error:
        raise UserError(f"rank table {path} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no rank table of version 1.0 (server_list, server_id, device, device_id, "
            "rank_id); make one with hccl_tools.py"
        ) from error
    ranks = sorted(rank for server in servers for rank in server.devices)
    count = sum(len(server["device"]) for server in table["server_list"])
    if not ranks or ranks != list(range(count)):
        raise UserError(f"the ranks in {path} do not count 0, 1, 2, …; make it anew")
    for server in servers:
        if len(set(server.devices.values())) < len(server.devices):
            raise UserError(f"{path} gives a device of {server.address} to two ranks")
    return sorted(servers, key=lambda server: min(server.devices, default=count))
