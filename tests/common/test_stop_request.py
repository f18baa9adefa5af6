"""The first Ctrl-C or SIGTERM is a wish, the second interrupts."""

import logging
import signal
import threading

import pytest

from src.common.stop_request import StopRequest

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
