"""Jobs for the launcher, and rank tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from model_utils.launch_plan import Job, plan_job


def plan(*arguments: str, **environment: str) -> Job:
    """Plan a job with DELF_… settings."""
    return plan_job(arguments, {f"DELF_{name}": value for name, value in environment.items()})


def server(address: str, devices: Mapping[int, int]) -> dict[str, object]:
    """A host of a rank table; `devices` maps ranks to devices."""
    return {
        "server_id": address,
        "device": [
            {"device_id": str(d), "device_ip": f"192.168.{100 + d % 4}.1", "rank_id": str(rank)}
            for rank, d in devices.items()
        ],
        "host_nic_ip": "reserve",
    }


def write_rank_table(path: Path, *hosts: dict[str, object]) -> Path:
    """Write a table as hccl_tools does; return its path."""
    table = {
        "version": "1.0",
        "server_count": str(len(hosts)),
        "server_list": list(hosts),
        "status": "completed",
    }
    path.write_text(json.dumps(table, indent=4))
    return path
