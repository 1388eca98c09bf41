"""Measuring fairly: contenders alternate in one process, medians are compared, processor time beside the clock's.

On a machine that does other work too, the processor time of one thread tells more than the clock: it leaves out the
time in which others ran.
"""

import ctypes
import gc
import math
import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

Step = Callable[[], None]


@dataclass(frozen=True)
class Measured:
    """What every counted round of a contender took.

    Attributes:
        seconds: By the clock.
        processor_seconds: Of all threads together; on a GPU the clock's.
        memory: Peak above the start of a round, bytes; the largest of the rounds.
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

    Args:
        contenders: Steps by name.
        rounds: Counted rounds.
        limit: Seconds after which no other round begins, if one was counted; with a limit only the first contender is
            warmed up, not all.
    """
    measured = {name: Measured([], [], 0) for name in contenders}
    begin = time.perf_counter()
    for step in list(contenders.values())[: None if math.isinf(limit) else 1]:
        step()
    for number in range(rounds):
        elapsed = time.perf_counter() - begin
        if number and elapsed * (number + 1) / number > limit:
            break
        for name, step in contenders.items():
            seconds, processor, peak = measure_once(step)
            before = measured[name]
            measured[name] = Measured(
                [*before.seconds, seconds], [*before.processor_seconds, processor], max(before.memory, peak)
            )
    return measured


def measure_once(step: Step) -> tuple[float, float, int]:
    """Return the seconds by the clock and of the processor, and the peak of memory above the start, of one call."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before, start = torch.cuda.memory_allocated(), time.perf_counter()
        step()
        torch.cuda.synchronize()
        taken = time.perf_counter() - start
        return taken, taken, torch.cuda.max_memory_allocated() - before
    with _PeakMemory() as peak:
        start, processor = time.perf_counter(), time.process_time()
        step()
        taken = time.perf_counter() - start, time.process_time() - processor
    return *taken, peak.above_start


def tensor_memory() -> int:
    """Return the bytes of all tensors that live, each storage once."""
    gc.collect()
    storages = {}
    for found in gc.get_objects():
        if isinstance(found, torch.Tensor) and found.layout is torch.strided:
            storage = found.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def _resident_memory() -> int:
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


class _PeakMemory:
    """Sample the process's resident memory from a thread."""

    def __enter__(self) -> "_PeakMemory":
        self._process = psutil.Process()
        self._start = self._peak = _resident_memory()
        self._running = True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join()

    def _watch(self) -> None:
        while self._running:
            self._peak = max(self._peak, self._process.memory_info().rss)
            time.sleep(0.02)

    @property
    def above_start(self) -> int:
        return int(self._peak - self._start)
