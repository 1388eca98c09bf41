"""Measuring fairly: contenders alternate in one process, medians are compared, processor time beside the clock's.

On a machine that does other work too, the processor time of one thread tells more than the clock: it leaves out the
time in which others ran.
"""

import ctypes
import gc
import math
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

Step = Callable[[], None]


# What glibc would hand back after every step, and fetch again, page by page, in the next.
KEPT = {name: str(2**34) for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")}


def keep_freed_memory() -> None:
    """Start the command anew with a C library that keeps freed memory, as GPU allocators do.

    Otherwise some 15 % of the processor time are spent on page faults, which hit contenders by chance.
    """
    if platform.system() == "Linux" and not KEPT.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **KEPT})


@dataclass(frozen=True)
class Measured:
    """What every counted round of a contender took.

    Attributes:
        seconds: By the clock.
        processor_seconds: Of all threads together; on a GPU the clock's.
        memory: Peak above the start of a step, bytes.
    """

    seconds: list[float]
    processor_seconds: list[float]
    memory: int

    @property
    def median(self) -> float:
        """Return the median of the processor seconds."""
        return statistics.median(self.processor_seconds)


def alternate(contenders: Mapping[str, Step], rounds: int, limit: float = math.inf) -> dict[str, Measured]:
    """Run all contenders in turn, A B C A B C ..., so that a machine's drift hits all alike.

    Memory is measured in a round of its own after the timed ones: for it freed memory has to be handed back, and to
    fetch it again takes time.

    Args:
        contenders: Steps by name.
        rounds: Counted rounds, after one that warms up.
        limit: Seconds after which no other timed round begins, if one was counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    processor_seconds: dict[str, list[float]] = {name: [] for name in contenders}
    begin = time.perf_counter()
    for step in contenders.values():
        step()
    for number in range(rounds):
        elapsed = time.perf_counter() - begin
        if number and elapsed * (number + 2) / (number + 1) > limit:
            break
        for name, step in contenders.items():
            taken, processor = time_once(step)
            seconds[name].append(taken)
            processor_seconds[name].append(processor)
    return {
        name: Measured(seconds[name], processor_seconds[name], peak_memory(step)) for name, step in contenders.items()
    }


def time_once(step: Step) -> tuple[float, float]:
    """Return the seconds of one call, by the clock and of the processor; on a GPU both are the clock's."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start, processor = time.perf_counter(), time.process_time()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return (time.perf_counter() - start,) * 2
    return time.perf_counter() - start, time.process_time() - processor


def peak_memory(step: Step) -> int:
    """Return the peak of memory in one call, above its start, in bytes."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with PeakMemory() as peak:
        step()
    return peak.above_start


def tensor_memory() -> int:
    """Return the bytes of all tensors that live, each storage once."""
    gc.collect()
    storages = {}
    for found in gc.get_objects():
        if isinstance(found, torch.Tensor) and found.layout is torch.strided:
            storage = found.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def resident_memory() -> int:
    """Return the process's memory in use, after what is free was handed back."""
    if platform.system() == "Linux":
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def environment() -> dict[str, str]:
    """Describe machine and versions."""
    return {
        "machine": torch.cuda.get_device_name() if torch.cuda.is_available() else _processor(),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


class PeakMemory:
    """Sample the process's resident memory from a thread.

    Args:
        interval: Seconds between two samples.

    Attributes:
        highest: The most that was seen, in bytes.
    """

    def __init__(self, interval: float = 0.02) -> None:
        self.interval = interval
        self.highest = 0

    def __enter__(self) -> "PeakMemory":
        self._process = psutil.Process()
        self._start = self.highest = resident_memory()
        self._running = True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join()

    def _watch(self) -> None:
        while self._running:
            self.highest = max(self.highest, self._process.memory_info().rss)
            time.sleep(self.interval)

    @property
    def above_start(self) -> int:
        """Return the most above what there was at the start."""
        return int(self.highest - self._start)
