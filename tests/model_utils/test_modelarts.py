"""A job on ModelArts: what comes to the host, what goes back to the bucket, and when."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from model_utils.host_lock import Attendance, exclusive
from model_utils.modelarts import modelarts_job
from src.common.errors import UserError
from tests.helpers.download import files_below
from tests.helpers.modelarts import run_job, write_files
from tests.helpers.other_process import OtherProcess


def test_without_modelarts_nothing_happens(host, monkeypatch):
    monkeypatch.setitem(sys.modules, "moxing", None)  # importing it would fail
    config = host.config(enable_modelarts=False)
    with modelarts_job(config) as job:
        assert job.config is config
        job.copy_out()
    assert not host.cache.exists()


def test_without_moxing_one_line_says_so(host, monkeypatch):
    monkeypatch.setitem(sys.modules, "moxing", None)
    with pytest.raises(UserError, match=r"moxing.*enable_modelarts to False"):
        run_job(host.config())
    assert not host.cache.exists()


def test_results_go_below_output_path_and_nothing_else_is_changed_or_uploaded(host):
    config = host.config()
    with modelarts_job(config) as job:
        changes = {
            name: value
            for name, value in vars(job.config).items()
            if value != getattr(config, name)
        }
        train = host.cache / "train"
        assert changes == {
            "save_ckpt": str(train / "ckpt"),
            "save_summary": str(train / "summary_test"),
        }
        assert files_below(host.cache / "data") == host.data
        assert files_below(host.cache / "checkpoint_path") == {"resnet50.h5": b"weights"}
        write_files(train, {"ckpt/a.ckpt": b"a", "summary_test/s": b"s"})
    assert config == host.config()
    assert host.out() == {"ckpt/a.ckpt": b"a", "summary_test/s": b"s"}
    assert host.calls() == ["data", "weights", "out"]


def test_empty_urls_are_skipped(host, caplog):
    run_job(host.config(data_url="", checkpoint_url="", train_url=""), {"a.ckpt": b"a"})
    assert host.calls("begin") == []
    assert "the results stay in" in caplog.text


def test_a_training_that_wrote_nothing_uploads_nothing(host):
    run_job(host.config())
    assert host.calls("begin") == ["data", "weights"]


def test_four_processes_at_once_copy_everything_once(host):
    processes = [host.start() for _ in range(4)]
    for process in processes:
        process.begin("enter")
    for rank, process in enumerate(processes):
        process.wait_until_done()  # all of them have begun to wait for the copy, or make it
        process.begin(f"write {rank}.ckpt")
    for process in processes:
        process.wait_until_done()
    assert files_below(host.cache / "data") == host.data
    for process in processes:
        code, errors = process.finish("exit" if process is processes[2] else "end")
        assert code == 0, errors
    assert host.calls("begin") == ["data", "weights", "out"]
    assert host.out() == {f"ckpt/{rank}.ckpt": b"%d.ckpt" % rank for rank in range(4)}


@pytest.mark.parametrize(
    ("ending", "message"), [("fail", "the loss is no number"), ("interrupt", "KeyboardInterrupt")]
)
def test_a_process_that_fails_uploads_at_once(host, ending, message):
    failing, second, third = (host.start() for _ in range(3))
    for process in (failing, second, third):
        process.do("enter")
    second.do("write 1.ckpt")
    code, errors = failing.finish(ending)
    assert code != 0
    assert message in errors.splitlines()[-1]
    assert host.out() == {"ckpt/1.ckpt": b"1.ckpt"}
    second.do("write 2.ckpt")
    assert third.finish("end")[0] == 0
    assert host.calls().count("out") == 1  # the second is still at work
    assert second.finish("end")[0] == 0
    assert host.calls().count("out") == 2
    assert host.out() == {"ckpt/1.ckpt": b"1.ckpt", "ckpt/2.ckpt": b"2.ckpt"}


def test_several_failures_upload_the_same_files_once(host):
    processes = [host.start() for _ in range(3)]
    for process in processes:
        process.do("enter")
    processes[0].do("write 1.ckpt")
    assert [process.finish("fail")[0] for process in processes] == [1, 1, 1]
    assert host.calls().count("out") == 1


def test_a_process_killed_while_it_copies_leaves_the_copy_to_the_next(host):
    first = host.start(MOXING_HANGS=host.settings["data_url"])
    first.begin("enter")
    while host.calls("hangs") != ["data"]:
        assert first._popen.poll() is None
        time.sleep(0.01)
    assert len(files_below(host.cache / "data")) == 1
    second = host.start()
    second.begin("enter")
    second.wait_for_message("another process of this host is copying")
    first.kill()
    second.wait_until_done()
    assert files_below(host.cache / "data") == host.data
    second.do("write 1.ckpt")
    assert second.finish("end")[0] == 0
    assert host.calls() == ["data", "weights", "out"]


def test_the_dead_are_not_waited_for(host):
    killed, other = host.start(), host.start()
    killed.do("enter", "write 1.ckpt")
    other.do("enter")
    killed.kill()
    assert other.finish("end")[0] == 0
    assert host.out() == {"ckpt/1.ckpt": b"1.ckpt"}


def test_locks_end_with_their_process_though_its_workers_live_on(tmp_path):
    program = """
        import os, time
        from model_utils.host_lock import Attendance, exclusive
        folder = Path(sys.argv[1])
        with exclusive(folder, ""):
            attendance = Attendance(folder)
            attendance.join()
            if os.fork() == 0:
                sys.stdin.read()
                os._exit(0)
            print("locked", flush=True)
            time.sleep(600)"""
    folder = tmp_path / "data"
    with OtherProcess(program, folder) as other:
        other.says("locked")
        assert Attendance(folder).others() == 1
        other.kill()
        with exclusive(folder, ""):
            assert Attendance(folder).others() == 0
        assert not list((tmp_path / ".data.modelarts" / "processes").iterdir())


def test_those_who_attend_count_the_others(tmp_path):
    first, second = Attendance(tmp_path / "data"), Attendance(tmp_path / "data")
    assert first.others() == 0
    first.join()
    second.join()
    assert first.others() == second.others() == 1
    first.leave()
    assert second.others() == 0


def test_a_second_job_copies_again_only_what_is_new_or_gone(host):
    run_job(host.config())
    run_job(host.config())
    assert host.calls() == ["data", "weights"]
    write_files(host.cache / "data", {"my_notes.txt": b"mine"})
    write_files(host.bucket / "data2", {"mindrecord/train.mindrecord0": b"new"})
    run_job(host.config(data_url=str(host.bucket / "data2")))
    assert host.calls() == ["data", "weights", "data2"]
    # what the first copy brought is gone with it, what it did not bring is not
    assert files_below(host.cache / "data") == {
        "mindrecord/train.mindrecord0": b"new",
        "my_notes.txt": b"mine",
    }
    (host.cache / "checkpoint_path" / "resnet50.h5").unlink()
    run_job(host.config(data_url=str(host.bucket / "data2")))
    assert host.calls() == ["data", "weights", "data2", "weights"]


def test_files_that_lay_there_before_are_never_removed(host, monkeypatch):
    write_files(host.cache / "data", {"mine/a.jpg": b"a"})
    monkeypatch.setenv("MOXING_BROKEN", host.settings["data_url"])
    with pytest.raises(UserError):
        run_job(host.config())
    write_files(host.bucket / "data2", {"b.jpg": b"b"})
    run_job(host.config(data_url=str(host.bucket / "data2")))
    assert files_below(host.cache / "data") == {"mine/a.jpg": b"a", "b.jpg": b"b"}


def test_a_failing_copy_names_its_url_and_is_done_again(host, monkeypatch):
    monkeypatch.setenv("MOXING_BROKEN", host.settings["data_url"])
    with pytest.raises(UserError, match="the bucket does not answer") as error:
        run_job(host.config())
    assert host.settings["data_url"] in str(error.value)
    monkeypatch.delenv("MOXING_BROKEN")
    run_job(host.config())
    assert files_below(host.cache / "data") == host.data
    with pytest.raises(UserError, match="no_such_folder"):
        run_job(host.config(checkpoint_url=str(host.bucket / "no_such_folder")))


def test_a_failing_upload_is_an_error_where_the_training_went_well(host, monkeypatch):
    monkeypatch.setenv("MOXING_BROKEN", host.settings["train_url"])
    with pytest.raises(UserError, match="does not answer") as error:
        run_job(host.config(), {"a.ckpt": b"a", "b.ckpt": b"b"})
    assert host.settings["train_url"] in str(error.value)
    with pytest.raises(UserError), modelarts_job(host.config()):
        sys.exit(0)
    monkeypatch.delenv("MOXING_BROKEN")
    run_job(host.config())  # half of it was there; the next end makes up for it
    assert host.out() == {"ckpt/a.ckpt": b"a", "ckpt/b.ckpt": b"b"}


@pytest.mark.parametrize("raised", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_a_failing_upload_does_not_hide_what_ended_the_training(host, monkeypatch, caplog, raised):
    monkeypatch.setenv("MOXING_BROKEN", host.settings["train_url"])
    with pytest.raises(type(raised)) as error, modelarts_job(host.config()) as job:
        write_files(Path(job.config.save_ckpt), {"a.ckpt": b"a"})
        raise raised
    assert error.value is raised
    messages = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(messages) == 1
    assert host.settings["train_url"] in messages[0]


def test_an_earlier_job_does_not_keep_the_next_one_from_uploading(host):
    run_job(host.config(), {"a.ckpt": b"a"})
    (host.bucket / "out" / "ckpt" / "a.ckpt").unlink()
    run_job(host.config())  # the same folder, the same files, but the bucket was tidied up
    assert host.out() == {"ckpt/a.ckpt": b"a"}


def test_results_of_a_job_with_another_url_are_kept_out(host, caplog):
    run_job(host.config(), {"a.ckpt": b"a"})
    with modelarts_job(host.config(train_url=str(host.bucket / "out2"))) as job:
        assert files_below(host.cache / "train") == {}
        write_files(Path(job.config.save_ckpt), {"b.ckpt": b"b"})
    assert files_below(host.bucket / "out2") == {"ckpt/b.ckpt": b"b"}
    assert host.out() == {"ckpt/a.ckpt": b"a"}
    assert [path.read_bytes() for path in host.cache.rglob("a.ckpt")] == [b"a"]  # not lost
    assert "moved to" in caplog.text


def test_checkpoints_of_an_interrupted_run_come_back_once(host):
    write_files(host.bucket / "out", {"ckpt/1.ckpt": b"1", "summary_test/s": b"s"})
    processes = [host.start() for _ in range(2)]
    for process in processes:
        process.begin("enter")
    for process in processes:
        process.wait_until_done()
    assert files_below(host.cache / "train") == {"ckpt/1.ckpt": b"1"}
    processes[0].do("write 2.ckpt")
    assert [process.finish("end")[0] for process in processes] == [0, 0]
    assert host.calls() == ["out/ckpt", "data", "weights", "out"]
    assert set(host.out()) == {"ckpt/1.ckpt", "ckpt/2.ckpt", "summary_test/s"}


def test_an_unchanged_resumed_run_is_not_uploaded_again(host):
    write_files(host.bucket / "out", {"ckpt/1.ckpt": b"1"})
    run_job(host.config())
    assert host.calls() == ["out/ckpt", "data", "weights"]


def test_a_moxing_without_exists_brings_no_checkpoints(host, monkeypatch):
    import moxing

    write_files(host.bucket / "out", {"ckpt/1.ckpt": b"1"})
    plain = SimpleNamespace(copy_parallel=moxing.file.copy_parallel)
    monkeypatch.setattr(moxing, "file", plain)
    run_job(host.config())
    assert host.calls() == ["data", "weights"]


def test_checkpoints_are_copied_out_while_the_training_runs(host):
    """Only what is new; what was given up here is given up there, and nothing else."""
    write_files(host.bucket / "out", {"ckpt/1.ckpt": b"1", "theirs.ckpt": b"theirs"})
    with modelarts_job(host.config()) as job:
        folder = Path(job.config.save_ckpt)
        write_files(folder, {"2.ckpt": b"2", "train.jsonl": b"{}", ".3.tmp.ckpt": b"half"})
        job.copy_out()
        assert host.out() == {
            "ckpt/1.ckpt": b"1",
            "ckpt/2.ckpt": b"2",
            "ckpt/train.jsonl": b"{}",
            "theirs.ckpt": b"theirs",
        }
        (folder / "1.ckpt").unlink()
        (folder / ".3.tmp.ckpt").rename(folder / "3.ckpt")
        job.copy_out()
        job.copy_out()
        assert set(host.out()) == {"ckpt/2.ckpt", "ckpt/3.ckpt", "ckpt/train.jsonl", "theirs.ckpt"}
        calls = ["out/ckpt", "data", "weights", "out/ckpt/2.ckpt", "out/ckpt/train.jsonl"]
        assert host.calls() == [*calls, "out/ckpt/3.ckpt"]
        assert host.calls("removed") == ["out/ckpt/1.ckpt"]
    assert host.calls() == [*calls, "out/ckpt/3.ckpt"]  # nothing was left to do in the end


def test_a_bucket_that_does_not_answer_does_not_end_the_training(host, monkeypatch, caplog):
    with modelarts_job(host.config()) as job:
        write_files(Path(job.config.save_ckpt), {"1.ckpt": b"1", "2.ckpt": b"2"})
        monkeypatch.setenv("MOXING_BROKEN", str(host.bucket / "out" / "ckpt" / "2.ckpt"))
        job.copy_out()
        assert "not copied out yet: the bucket does not answer" in caplog.text
        assert host.out() == {"ckpt/1.ckpt": b"1"}
        monkeypatch.delenv("MOXING_BROKEN")
        job.copy_out()
        assert host.calls("begin").count("out/ckpt/1.ckpt") == 1
    assert host.out() == {"ckpt/1.ckpt": b"1", "ckpt/2.ckpt": b"2"}


def test_a_moxing_that_copies_folders_only_copies_the_folder(host, monkeypatch):
    import moxing

    plain = SimpleNamespace(copy_parallel=moxing.file.copy_parallel, exists=moxing.file.exists)
    monkeypatch.setattr(moxing, "file", plain)
    with modelarts_job(host.config()) as job:
        write_files(Path(job.config.save_ckpt), {"1.ckpt": b"1"})
        job.copy_out()
        assert host.out() == {"ckpt/1.ckpt": b"1"}
    with modelarts_job(host.config(train_url="")) as job:
        write_files(Path(job.config.save_ckpt), {"2.ckpt": b"2"})
        job.copy_out()
    assert host.out() == {"ckpt/1.ckpt": b"1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"output_path": "data/train"},
        {"data_path": "train/data"},
        {"load_path": "data"},
        {"data_path": "."},
    ],
)
def test_folders_that_lie_in_each_other_are_refused(host, changes):
    changes = {name: str(host.cache / path) for name, path in changes.items()}
    with pytest.raises(UserError, match="three separate folders"):
        run_job(host.config(**changes))


def test_a_place_that_cannot_be_written_is_named(host):
    host.cache.write_bytes(b"a file where a folder should be")
    with pytest.raises(UserError, match=str(host.cache)):
        run_job(host.config())
