"""Making the next items while the present one is used: a thread and a bounded queue."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")
_LOOK_AGAIN = 0.1  # seconds between looks at whether anybody still wants items


def ahead(items: Iterable[T], count: int = 1) -> Generator[T, None, None]:
    """Yield items in order, up to `count` more being made in a thread meanwhile.

    What making them raises is raised here, after the items before it. When the consumer stops, the
    thread does so after the item at hand, and the source, where it is a generator, is closed.

    Args:
        items: made one by one in the thread.
        count: finished items that may wait.
    """
    made: queue.Queue = queue.Queue(count)
    unwanted = threading.Event()

    def hand_over(item: object) -> bool:
        while not unwanted.is_set():
            with contextlib.suppress(queue.Full):
                made.put(item, timeout=_LOOK_AGAIN)
                return True
        return False

    def make() -> None:
        source = iter(items)
        try:
            for item in source:
                if not hand_over((item, None)):
                    return
            hand_over(None)
        except BaseException as error:  # whatever it is, the consumer is to meet it
            hand_over((None, error))
        finally:
            if hasattr(source, "close"):
                source.close()

    maker = threading.Thread(target=make, daemon=True, name="ahead")
    maker.start()
    try:
        while True:
            handed = made.get()
            if handed is None:
                return
            item, error = handed
            if error is not None:
                raise error
            yield item
    finally:
        unwanted.set()
        maker.join()
