"""Memory that large tensors left is used again by the next ones, on processors under Linux.

glibc gives memory of more than 32 MB back to the system as soon as it is free, and asks for it anew for the next tensor
of that size; the system then clears every page of it (mallopt(3)). Encoding and decoding pictures spend up to half of
their time so.
"""

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of malloc.h
# Larger tensors go back at once as before, and so does whatever more than this lies free at the end of the heap.
_KEPT_BYTES = 512 * 2**20
_LARGEST_BYTES = 256 * 2**20
# What the heap grows by at once.
_GROWTH_BYTES = 64 * 2**20


@cache
def reuse_freed_memory() -> bool:
    """Let this process keep up to half a GiB that tensors left; return whether that could be done.

    It is done once. Without glibc nothing happens, and of an allocator that was loaded in its place nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    wanted = {_MMAP_THRESHOLD: _LARGEST_BYTES, _TRIM_THRESHOLD: _KEPT_BYTES, _TOP_PAD: _GROWTH_BYTES}
    return all([mallopt(setting, value) == 1 for setting, value in wanted.items()])
