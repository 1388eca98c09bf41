"""Stopping a run on request, after the step in hand."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    """Whether somebody asked to stop."""

    is_set: bool = False


@contextmanager
def stop_requested(stop: Stop) -> Iterator[Stop]:
    """Turn the first Ctrl-C or termination signal into a request to stop after the current step."""

    def request(number: int, frame: FrameType | None) -> None:
        stop.is_set = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: signals belong to somebody else
        yield stop
        return
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
