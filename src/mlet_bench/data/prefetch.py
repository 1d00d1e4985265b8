"""Work done in a thread while its results are used."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar, cast

Item = TypeVar("Item")
_END = None


def ahead(items: Iterator[Item], depth: int = 1) -> Generator[Item]:
    """The same items; up to `depth` more of them are made in a thread meanwhile. Closing it ends the thread."""
    made: queue.Queue[tuple[Item | None, BaseException | None] | None] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: tuple[Item | None, BaseException | None] | None) -> bool:
        while not stop.is_set():
            try:
                made.put(item, timeout=0.1)
                return True
            except queue.Full:
                pass
        return False

    def make() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put(_END)
        except BaseException as error:  # it is raised where the items are used
            put((None, error))

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while (found := made.get()) is not _END:
            item, error = cast(tuple[Item, BaseException | None], found)
            if error is not None:
                raise error
            yield item
    finally:
        stop.set()
        thread.join()
