"""Rank tables as hccl_tools writes them, and the device a process finds in one."""

import json

import pytest

from model_utils.rank_table import Server, read_rank_table
from model_utils.worker_group import launched_device
from src.common.errors import UserError
from tests.helpers.launch import server, write_rank_table

EIGHT = {rank: rank for rank in range(8)}
SECOND_EIGHT = {rank: rank - 8 for rank in range(8, 16)}
LAST_FOUR = {0: 4, 1: 5, 2: 6, 3: 7}


@pytest.mark.parametrize(
    ("hosts", "wanted"),
    [
        ([("10.0.0.1", EIGHT)], ["10.0.0.1"]),
        ([("10.0.0.1", LAST_FOUR)], ["10.0.0.1"]),
        ([("10.0.0.1", EIGHT), ("10.0.0.2", SECOND_EIGHT)], ["10.0.0.1", "10.0.0.2"]),
        ([("10.0.0.1", SECOND_EIGHT), ("10.0.0.2", EIGHT)], ["10.0.0.2", "10.0.0.1"]),
    ],
)
def test_hosts_come_in_the_order_of_their_ranks(tmp_path, hosts, wanted):
    path = write_rank_table(tmp_path / "hccl.json", *(server(*host) for host in hosts))
    assert read_rank_table(path) == [Server(address, dict(hosts)[address]) for address in wanted]


OLD_FORMAT = {
    "board_id": "0x0020",
    "deploy_mode": "lab",
    "group_count": "1",
    "group_list": [{"device_num": "1", "group_name": "", "instance_list": []}],
    "status": "completed",
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{not JSON", "no rank table of version 1.0"),
        ("\udcff", "no rank table of version 1.0"),
        (json.dumps(OLD_FORMAT), "no rank table of version 1.0"),
        (json.dumps([1]), "no rank table of version 1.0"),
        (json.dumps({"server_list": [3]}), "no rank table of version 1.0"),
        (json.dumps({"server_list": {"server_id": "x"}}), "no rank table of version 1.0"),
        (
            json.dumps({"server_list": [{"server_id": "x", "device": [{"rank_id": "a"}]}]}),
            "no rank table of version 1.0",
        ),
        (json.dumps({"server_list": []}), "do not count"),
        (json.dumps({"server_list": [server("10.0.0.1", {})]}), "do not count"),
        (json.dumps({"server_list": [server("10.0.0.1", {0: 0, 2: 1})]}), "do not count"),
        (json.dumps({"server_list": [server("10.0.0.1", {1: 0, 2: 1})]}), "do not count"),
        (
            json.dumps({"server_list": [server("10.0.0.1", {0: 0}), server("10.0.0.2", {0: 0})]}),
            "do not count",
        ),
    ],
)
def test_what_is_no_rank_table_is_said_in_one_line(tmp_path, text, message):
    path = tmp_path / "hccl.json"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=message) as error:
        read_rank_table(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_rank_that_stands_twice_on_a_host_is_noticed(tmp_path):
    host = server("10.0.0.1", {0: 0, 1: 1})
    host["device"][1]["rank_id"] = "0"
    with pytest.raises(UserError, match="do not count"):
        read_rank_table(write_rank_table(tmp_path / "hccl.json", host))


def test_a_folder_is_no_rank_table(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_rank_table(tmp_path)


@pytest.mark.parametrize(("rank", "device"), [(0, 4), (3, 7), (4, 0), (7, 3)])
def test_a_rank_table_says_the_device_by_the_rank(tmp_path, rank, device):
    hosts = (server("10.0.0.2", {4: 0, 5: 1, 6: 2, 7: 3}), server("10.0.0.1", LAST_FOUR))
    path = write_rank_table(tmp_path / "hccl.json", *hosts)
    # DEVICE_ID counts the workers of a host; the table knows better.
    for launcher in ({"RANK_SIZE": "8"}, {"MS_ROLE": "MS_WORKER"}):
        environment = {"RANK_TABLE_FILE": str(path), "RANK_ID": str(rank), "DEVICE_ID": "9"}
        assert launched_device(5, {**environment, **launcher}) == device


def test_a_rank_that_is_not_in_the_table_is_said(tmp_path):
    path = write_rank_table(tmp_path / "hccl.json", server("10.0.0.1", LAST_FOUR))
    with pytest.raises(UserError, match="holds no rank 4"):
        launched_device(0, {"RANK_TABLE_FILE": str(path), "RANK_ID": "4", "RANK_SIZE": "8"})


@pytest.mark.parametrize(
    ("environment", "device"),
    [
        ({}, 5),
        ({"DEVICE_ID": "2"}, 5),  # nobody launched this process
        ({"RANK_TABLE_FILE": "nowhere.json", "RANK_SIZE": "1", "DEVICE_ID": "2"}, 5),
        ({"RANK_TABLE_FILE": "nowhere.json"}, 5),
        ({"RANK_TABLE_FILE": "", "RANK_SIZE": "8"}, 5),
        ({"MS_ROLE": "MS_WORKER", "DEVICE_ID": "2"}, 2),
        ({"MS_ROLE": "MS_WORKER"}, 5),
    ],
)
def test_without_a_table_the_launcher_or_the_setting_says_the_device(environment, device):
    assert launched_device(5, environment) == device
