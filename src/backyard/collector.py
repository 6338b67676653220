"""When Python's garbage collector looks: not while a process starts, and afterwards not at what has stayed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@contextmanager
def held() -> Iterator[None]:
    """Hold the collector while a program is imported: nearly all of it stays, and looking takes a tenth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@cache
def settle() -> None:
    """Collect once, and then leave what is there alone, for a start-up has ended.

    Going through all of it again and again held an API's event loop for 26 to 90 ms; and in a process that forks, it
    would write to pages that the children share. Once a process, so that programs which start many apps, as tests do,
    do not keep them all.
    """
    gc.collect()
    gc.freeze()
