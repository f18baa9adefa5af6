"""Ending a program at once, with one line, while it is still being loaded.

For the first moments of a program, so nothing is imported that takes time: `signal` takes longer
than all the rest.
"""

import _signal
import os

EXIT_INTERRUPTED = 130
INTERRUPTED = "interrupted; what was complete is kept, run the same command again"


def leave(*_: object) -> None:
    """Say that Ctrl-C has ended the program, and end it: a handler of signals."""
    os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(EXIT_INTERRUPTED)


def leave_on_interrupt() -> None:
    """From now on `leave` when Ctrl-C is pressed, also when it was pressed while it was held back.

    A program that was started with Ctrl-C ignored, as a job that a script put in the background,
    goes on ignoring it: it is held back from all threads, since MindSpore sets a handler itself.
    """
    handler = _signal.getsignal(_signal.SIGINT)
    if handler is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, leave)
    hold_interrupt(handler == _signal.SIG_IGN)


def hold_interrupt(held: bool = True) -> None:
    """Hold Ctrl-C back, in what this process becomes too, or let it through."""
    if hasattr(_signal, "pthread_sigmask"):  # not on Windows
        how = _signal.SIG_BLOCK if held else _signal.SIG_UNBLOCK
        _signal.pthread_sigmask(how, {_signal.SIGINT})
