"""Measuring fairly: contenders alternate in one process, medians are compared, memory is the peak above the start."""

import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil
import torch

Step = Callable[[], None]


@dataclass(frozen=True)
class Measured:
    """Seconds of every counted round, and the peak of memory above the start in bytes."""

    seconds: list[float]
    memory: int

    @property
    def median(self) -> float:
        """Return the median of the rounds."""
        return statistics.median(self.seconds)


def alternate(contenders: Mapping[str, Step], rounds: int, warm_up: int = 1) -> dict[str, Measured]:
    """Run all contenders in turn, A B C A B C ..., so that a machine's drift hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    memory = dict.fromkeys(contenders, 0)
    for round_number in range(warm_up + rounds):
        for name, step in contenders.items():
            taken, peak = _timed(step)
            if round_number >= warm_up:
                seconds[name].append(taken)
                memory[name] = max(memory[name], peak)
    return {name: Measured(seconds[name], memory[name]) for name in contenders}


def environment() -> dict[str, str]:
    """Describe machine and versions."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {
        "device": device,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _timed(step: Step) -> tuple[float, int]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        return time.perf_counter() - start, torch.cuda.max_memory_allocated() - before
    with _PeakMemory() as peak:
        start = time.perf_counter()
        step()
        taken = time.perf_counter() - start
    return taken, peak.above_start


class _PeakMemory:
    """Sample the process's resident memory from a thread."""

    def __enter__(self) -> "_PeakMemory":
        self._process = psutil.Process()
        self._start = self._peak = self._process.memory_info().rss
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
        return self._peak - self._start
