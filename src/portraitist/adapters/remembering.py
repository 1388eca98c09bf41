"""Tensors that a function made before, in memory up to a number of bytes."""

from collections import OrderedDict
from collections.abc import Callable
from functools import update_wrapper
from threading import Lock
from typing import Any

from torch import Tensor


class Remembered:
    """A function whose latest tensors are kept, as `functools.lru_cache` does but for their number.

    Args:
        make: The function; its arguments are hashable.
        most: Bytes that are kept.
    """

    def __init__(self, make: Callable[..., Tensor], most: int) -> None:
        update_wrapper(self, make)
        self._make, self._most = make, most
        self._known: OrderedDict[tuple[Any, ...], Tensor] = OrderedDict()
        self._size, self._lock = 0, Lock()

    def __call__(self, *key: Any) -> Tensor:
        """Return the tensor for some arguments."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        made = self._make(*key)
        with self._lock:
            if key not in self._known:
                self._known[key] = made
                self._size += made.nbytes
            while self._size > self._most:
                self._size -= self._known.popitem(last=False)[1].nbytes
        return made

    def cache_clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._known.clear()
            self._size = 0


def remembered(most: int) -> Callable[[Callable[..., Tensor]], Remembered]:
    """Keep the latest tensors that a function makes, up to so many bytes."""
    return lambda make: Remembered(make, most)
