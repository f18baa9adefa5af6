"""Work beside the training: one piece after the other, and no error lost."""

import threading

import pytest

from src.training.background import Background


def test_pieces_are_done_one_after_the_other():
    done, go_on = [], threading.Event()

    def first():
        assert go_on.wait(60)
        done.append("first")

    with Background() as background:
        background.start(first)
        background.check()
        assert done == []  # whoever began it has gone on
        go_on.set()
        background.start(lambda: done.append("second"))
        assert done[0] == "first"
    assert done == ["first", "second"]


def fail():
    raise OSError("the disk is full")


def test_an_error_comes_out_at_the_next_call():
    background = Background()
    background.start(fail)
    background._thread.join()
    with pytest.raises(OSError, match="full"):
        background.check()
    background.check()  # once
    background.start(fail)
    with pytest.raises(OSError, match="full"):
        background.start(lambda: None)
    with pytest.raises(OSError, match="full"), background:
        background.start(fail)


def test_what_is_under_way_is_finished_when_the_training_fails():
    done, go_on = [], threading.Event()

    def piece():
        assert go_on.wait(60)
        done.append("written")

    with pytest.raises(ValueError, match="the loss"), Background() as background:
        background.start(piece)
        threading.Timer(0.05, go_on.set).start()
        raise ValueError("the loss is nan")
    assert done == ["written"]


def test_nobody_waits_after_ctrl_c():
    go_on = threading.Event()
    with pytest.raises(KeyboardInterrupt), Background() as background:
        background.start(lambda: go_on.wait(60))
        raise KeyboardInterrupt
    go_on.set()
    background.wait()
