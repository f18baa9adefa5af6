"""What the launcher makes of a command line, a rank table and the environment."""

import pytest

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from tests.helpers.launch import plan, server, write_rank_table

pytestmark = pytest.mark.usefixtures("cpu_host")

HOSTS = ("10.9.8.1", range(8)), ("10.9.8.2", range(8, 16))


def table(folder, *hosts):
    """Write a rank table of (address, ranks) and return its path."""
    servers = [
        server(address, {rank: device for device, rank in enumerate(ranks)})
        for address, ranks in hosts
    ]
    return str(write_rank_table(folder / "hccl.json", *servers))


def numbers(job):
    return job.workers, job.local_workers, job.node_rank


def test_tuning_needs_nothing_else(tmp_path):
    job = plan("tuning", "--batch_size=4", "--data_url=", LOG_ROOT=str(tmp_path))
    assert job.stage == "tuning"
    assert job.options == (
        "--train_state=tuning",
        "--batch_size=4",
        "--data_url=",
        f"--save_ckpt={tmp_path}/train_parallel0/ckpt",
    )
    assert numbers(job) == (2, 2, 0)
    assert (job.master_addr, job.master_port, job.rank_table) == ("127.0.0.1", 8118, None)
    assert job.log(1) == tmp_path / "train_parallel1" / "train_tuning.log"


def test_a_lost_worker_is_forgiven_twice_or_as_often_as_is_said():
    assert plan("tuning").restarts == 2
    assert plan("tuning", RESTARTS="0").restarts == 0
    with pytest.raises(UserError, match="DELF_RESTARTS is '-1'"):
        plan("tuning", RESTARTS="-1")


def test_a_job_that_is_started_again_meets_elsewhere_and_waits_for_the_others(tmp_path):
    """Other hosts hold the port until they have noticed, which takes them that long."""
    job = plan("tuning", MASTER_PORT="9000", START_SECONDS="50", WAIT_SECONDS="7")
    first, again = ([*job.command(tmp_path, restart)] for restart in (0, 2))
    assert {"--master_port=9000", "--cluster_time_out=50"} <= set(first)
    assert {"--master_port=9002", "--cluster_time_out=57"} <= set(again)


def test_logs_and_checkpoints_go_to_the_project_unless_told_otherwise():
    job = plan("tuning")
    assert job.log_root == PROJECT_ROOT
    assert job.options[-1] == f"--save_ckpt={PROJECT_ROOT}/train_parallel0/ckpt"
    assert plan("tuning", "--save_ckpt=here", "--seed=1").options[1:] == (
        *("--save_ckpt=here", "--seed=1"),
    )


@pytest.mark.parametrize(("folder", "is_own"), [("./ckpt/", False), ("/somewhere/else", True)])
def test_a_folder_set_in_a_configuration_is_used(tmp_path, folder, is_own):
    config = tmp_path / "own.yaml"
    config.write_text(f"save_ckpt: {folder}\n")
    job = plan("tuning", f"--config_path={config}", LOG_ROOT=str(tmp_path))
    given = [option for option in job.options if option.startswith("--save_ckpt=")]
    assert given == ([] if is_own else [f"--save_ckpt={tmp_path}/train_parallel0/ckpt"])


def test_attn_starts_from_a_checkpoint(tmp_path, monkeypatch):
    (tmp_path / "tuned.ckpt").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    job = plan("attn", "tuned.ckpt", "--save_ckpt=x")
    assert job.options == (
        "--train_state=attn",
        f"--checkpoint_path={tmp_path}/tuned.ckpt",
        "--save_ckpt=x",
    )
    assert job.log(0).name == "train_attn.log"
    # Tuning goes on from one of its own.
    assert f"--checkpoint_path={tmp_path}/tuned.ckpt" in plan("tuning", "tuned.ckpt").options


def test_a_rank_table_says_who_takes_part(tmp_path, monkeypatch):
    table(tmp_path, *HOSTS)
    monkeypatch.chdir(tmp_path)
    for rank, first in (("0", 0), ("1", 8)):
        job = plan("hccl.json", "tuning", NODE_RANK=rank)
        assert numbers(job) == (16, 8, int(rank))
        assert job.ranks == range(first, first + 8)
        assert (job.master_addr, job.rank_table) == ("10.9.8.1", str(tmp_path / "hccl.json"))
        assert job.options[0] == "--train_state=tuning"
    job = plan("hccl.json", "tuning", MASTER_ADDR="10.1.1.1", WORKERS="16", LOCAL_WORKERS="8")
    assert (job.master_addr, *numbers(job)) == ("10.1.1.1", 16, 8, 0)


def test_this_host_finds_itself_in_the_rank_table(tmp_path):
    path = table(tmp_path, ("127.0.0.1", [2, 3]), ("10.9.8.1", [0, 1]))
    job = plan(path, "tuning")
    assert (numbers(job), job.master_addr) == ((4, 2, 1), "10.9.8.1")


def test_the_environment_says_where_the_hosts_meet():
    environment = {
        "WORKERS": "16",
        "LOCAL_WORKERS": "4",
        "NODE_RANK": "2",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "9000",
        "START_SECONDS": "30",
    }
    job = plan("tuning", **environment)
    assert numbers(job) == (16, 4, 2)
    assert job.ranks == range(8, 12)
    assert (job.master_addr, job.master_port, job.start_seconds) == ("10.0.0.1", 9000, 30)
    assert numbers(plan("tuning", WORKERS="3")) == (3, 3, 0)
    assert numbers(plan("tuning", **dict.fromkeys(environment, ""))) == (2, 2, 0)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {}, "^usage: "),
        (["--seed=1"], {}, "^usage: "),
        (["TABLE"], {}, "^usage: "),
        (["TABLE", "evaluate"], {}, "^usage: "),
        (["nowhere.json", "tuning"], {}, "rank table nowhere.json cannot be read"),
        (["attn"], {}, "attn needs the checkpoint"),
        (["attn", "--seed=1"], {}, "attn needs the checkpoint"),
        (["attn", "nowhere.ckpt"], {}, "nowhere.ckpt does not exist"),
        (["tuning", "--seed"], {}, "--seed is not of the form"),
        (["tuning", "--seed", "1"], {}, "--seed is not of the form"),
        (["tuning", "--seed=1", "more"], {}, "more is not of the form"),
        (["tuning"], {"WORKERS": "two"}, "DELF_WORKERS is 'two'.*from 1 to"),
        (["tuning"], {"WORKERS": "0"}, "DELF_WORKERS is '0'"),
        (["tuning"], {"WORKERS": "-2"}, "DELF_WORKERS is '-2'"),
        (["tuning"], {"LOCAL_WORKERS": "0"}, "DELF_LOCAL_WORKERS is '0'"),
        (["tuning"], {"NODE_RANK": "1.5"}, "DELF_NODE_RANK is '1.5'"),
        (["tuning"], {"MASTER_PORT": "80"}, "DELF_MASTER_PORT is '80'"),
        (["tuning"], {"START_SECONDS": "soon"}, "DELF_START_SECONDS is 'soon'"),
        (["tuning"], {"WORKERS": "8", "LOCAL_WORKERS": "3"}, "3 workers does not fit 8"),
        (["tuning"], {"WORKERS": "2", "LOCAL_WORKERS": "4"}, "4 workers does not fit 2"),
        (["tuning"], {"WORKERS": "8", "NODE_RANK": "1"}, "host 1 with 8 workers does not fit"),
        (
            ["tuning"],
            {"WORKERS": "8", "LOCAL_WORKERS": "4", "NODE_RANK": "2"},
            "host 2 with 4 workers does not fit 8",
        ),
        (["TABLE", "tuning"], {"WORKERS": "8"}, "DELF_WORKERS is 8, but .* holds 16 devices"),
        (["TABLE", "tuning"], {"NODE_RANK": "2"}, "DELF_NODE_RANK is 2, but .* holds 2 hosts"),
        (["TABLE", "tuning"], {"LOCAL_WORKERS": "4"}, "the ranks of 10.9.8.1 .* are not 0 to 3"),
    ],
)
def test_what_cannot_be_started_is_said_in_one_line(tmp_path, arguments, environment, message):
    path = table(tmp_path, *HOSTS)
    words = [path if word == "TABLE" else word for word in arguments]
    with pytest.raises(UserError, match=message) as error:
        plan(*words, **environment)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "hosts",
    [
        [("10.9.8.1", [0, 1]), ("10.9.8.2", [2])],
        [("10.9.8.1", [0, 2]), ("10.9.8.2", [1, 3])],
    ],
)
def test_msrun_cannot_number_these_hosts(tmp_path, hosts):
    path = table(tmp_path, *hosts)
    with pytest.raises(UserError, match=r"(each host (runs|holds) the same|have different) number"):
        plan(path, "tuning", NODE_RANK="0")


def test_the_command_line_of_msrun(tmp_path):
    path = table(tmp_path, *HOSTS)
    job = plan(path, "tuning", "--seed=2", NODE_RANK="1", START_SECONDS="30")
    program, *words = job.command(tmp_path / "logs")
    assert program == "msrun"
    script = words.index(str(PROJECT_ROOT / "train.py"))
    assert tuple(words[script + 1 :]) == job.options
    flags = dict(word.split("=", 1) for word in words[:script])
    assert (
        flags.items()
        >= {
            "--worker_num": "16",
            "--local_worker_num": "8",
            "--node_rank": "1",
            "--master_addr": "10.9.8.1",
            "--master_port": "8118",
            "--cluster_time_out": "30",
            "--log_dir": str(tmp_path / "logs"),
            "--join": "True",
            "--rank_table_file": path,
        }.items()
    )
    assert not any("rank_table" in word for word in plan("tuning").command(tmp_path))
