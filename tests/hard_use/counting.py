"""What becomes of damaged things and of killed runs, counted, and the tables that show it."""

import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from portraitist.errors import PortraitistError
from portraitist.randomness import numpy_generator

from .forks import limit_memory, one_by_one
from .mutating import Sample, damage

CLASSES = ("named", "harmless", "unknowable", "accepted though damaged", "traceback", "slow")
_HARMLESS = CLASSES[:3]
# Seconds a file may take, and bytes beside what the process has.
_PATIENCE, _MEMORY = 20.0, 2**30

Judge = Callable[[Sample], str]


def class_of(look: Callable[[], str]) -> str:
    """Say which class something damaged is of: what looking at it says, or the way in which that fails."""
    try:
        return look()
    except PortraitistError as error:
        return "named" if "\n" not in str(error) else "traceback: several lines"
    except MemoryError:
        return "slow: memory"
    except Exception:
        return f"traceback: {traceback.format_exc()[-900:]}"


def damage_all(judges: Sequence[tuple[Sample, Judge]], each: int) -> tuple[dict[str, Counter[str]], list[str]]:
    """Damage sound samples so many times each; count classes by sample, and list those that must not be."""
    rows: dict[str, Counter[str]] = {}
    bad: list[str] = []
    for sample, judge in judges:

        def work(number: int, sample: Sample = sample, judge: Judge = judge) -> str:
            folder = Path(tempfile.mkdtemp())
            try:
                copy = sample.copied(folder)
                how = damage(copy, mutation_generator(sample, number))
                found = judge(copy)
                return found if found in _HARMLESS else f"{found} ({how})"
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        counts = rows.setdefault(sample.name, Counter())
        for number, said in enumerate(one_by_one(range(each), work, _PATIENCE, lambda: limit_memory(_MEMORY))):
            found = next((name for name in CLASSES if said.startswith(name)), "traceback")
            counts[found] += 1
            if found not in _HARMLESS:
                bad.append(f"{sample.name} {number}: {said}")
    return rows, bad


def mutation_generator(sample: Sample, number: int) -> np.random.Generator:
    """Return what a case is drawn with, so that it can be drawn again alone."""
    return numpy_generator(number, f"mutations of {sample.name}")


def class_table(rows: Mapping[str, Counter[str]]) -> str:
    """Return the classes of every sample as a table, with their sums."""
    counted = {**rows, "all": sum(rows.values(), Counter())}
    cells = {name: [counts.total(), *(counts[each] for each in CLASSES)] for name, counts in counted.items()}
    return _table(("file", "cases", *CLASSES), cells)


def times_table(what: str, counts: Counter[str]) -> str:
    """Return how often what happened as a table."""
    return _table((what, "times"), {name: [count] for name, count in sorted(counts.items())})


def _table(heads: Sequence[str], rows: Mapping[str, Sequence[int]]) -> str:
    """Return a Markdown table of names and numbers."""
    lines = [f"| {name} | {' | '.join(f'{number:,}' for number in numbers)} |" for name, numbers in rows.items()]
    return "\n".join([f"| {' | '.join(heads)} |", f"|---|{'--:|' * (len(heads) - 1)}", *lines])
