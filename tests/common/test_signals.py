import logging
import signal
import threading

import pytest

from src.common.signals import StopRequest, handled, interruptible, uninterrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers():
    """Handlers that can be told apart, instead of those of pytest."""

    def first(*_):
        raise AssertionError("the signal was not taken")

    before = {number: signal.signal(number, first) for number in SIGNALS}
    yield first
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_first_signal_asks_and_the_second_interrupts(handlers, number, second, caplog):
    caplog.set_level(logging.INFO)
    with StopRequest("a checkpoint is written first") as stop:
        assert not stop.is_made
        signal.raise_signal(number)
        assert stop.is_made
        assert caplog.messages == [f"{number.name}: a checkpoint is written first"]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
    assert [signal.getsignal(each) for each in SIGNALS] == [handlers] * 2


def test_the_handlers_come_back_after_an_error(handlers):
    with pytest.raises(ValueError, match="inside"), StopRequest("…") as stop:
        assert signal.getsignal(signal.SIGTERM) != handlers
        raise ValueError("inside")
    assert not stop.is_made
    assert [signal.getsignal(each) for each in SIGNALS] == [handlers] * 2


def test_a_thread_leaves_the_signals_alone(handlers):
    seen = []

    def work():
        with StopRequest("…") as stop:
            seen.extend([stop.is_made, *(signal.getsignal(each) for each in SIGNALS)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, handlers, handlers]


def test_ctrl_c_waits_for_the_end_of_what_must_be_whole():
    steps = []
    with handled(signal.SIGINT, signal.default_int_handler):
        with pytest.raises(KeyboardInterrupt), uninterrupted():
            signal.raise_signal(signal.SIGINT)
            steps.append("whole")
        with uninterrupted():
            steps.append("undisturbed")
    assert steps == ["whole", "undisturbed"]


def test_a_termination_interrupts_where_nobody_else_takes_it(handlers):
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) == handlers
    with handled(signal.SIGTERM, signal.SIG_DFL):
        with pytest.raises(KeyboardInterrupt), interruptible():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
