"""Damaged adapter files of all formats: each is named, or nothing is lost by it; none costs time or memory."""

import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from comparing import TinyPipeline

from portraitist.adapters import Adapter, Attachment, load_bank
from portraitist.errors import MissingBase, PortraitistError
from portraitist.exchange.inspecting import inspect_file
from portraitist.exchange.loading import load_any
from portraitist.randomness import numpy_generator

from .conftest import how_many
from .forks import limit_memory, one_by_one
from .mutating import Sample, damage, make_samples

CLASSES = ("named", "harmless", "unknowable", "accepted though damaged", "traceback", "slow")
# Seconds a file may take, and bytes beside what the process has.
_PATIENCE, _MEMORY = 20.0, 2**30


def load(path: Path, tiny: TinyPipeline) -> Adapter:
    """Load an adapter or a bank for the tiny base, as using it does."""
    if "bank" in path.name:
        return load_bank(path)
    adapter = load_any(path, tiny.components)
    Attachment(tiny.components).attach(adapter).detach()
    return adapter


def look(path: Path, tiny: TinyPipeline) -> Adapter:
    """Read an adapter in every way that a user may: inspected, read without its base, read with it."""
    inspect_file(path)
    try:
        if "bank" not in path.name:
            load_any(path)
    except MissingBase:
        pass
    return load(path, tiny)


def judge(sample: Sample, sound: Adapter, tiny: TinyPipeline) -> str:
    """Say which class a damaged sample is of."""
    try:
        adapter = look(sample.path, tiny)
    except PortraitistError as error:
        return "named" if "\n" not in str(error) else "traceback: several lines"
    except MemoryError:
        return "slow: memory"
    except Exception:
        return f"traceback: {traceback.format_exc()[-600:]}"
    finite = all(bool(value.isfinite().all()) for value in adapter.named_parameters().values())
    if not finite or (adapter.layers.keys() != sound.layers.keys() and sample.name != "diffusekrona"):
        return "accepted though damaged"
    same = adapter.space == sound.space and all(
        torch.equal(value, sound.values[layer][key])
        for layer, tensors in adapter.values.items()
        for key, value in tensors.items()
    )
    return "harmless" if same else "unknowable"


@pytest.fixture(scope="session")
def samples(tiny: TinyPipeline, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Sample, Adapter]]:
    made = make_samples(tiny, tmp_path_factory.mktemp("sound"))
    return [(sample, load(sample.path, tiny)) for sample in made]


def table(rows: dict[str, Counter[str]]) -> str:
    """Return the classes of every format as a Markdown table."""
    lines = [f"| file | cases | {' | '.join(CLASSES)} |", f"|---|{'--:|' * (len(CLASSES) + 1)}"]
    for name, counts in [*rows.items(), ("all", sum(rows.values(), Counter()))]:
        cells = [counts.total(), *(counts[each] for each in CLASSES)]
        lines.append(f"| {name} | {' | '.join(f'{cell:,}' for cell in cells)} |")
    return "\n".join(lines)


def test_damaged_files_of_all_formats(
    samples: list[tuple[Sample, Adapter]], tiny: TinyPipeline, report: Callable[[str, str], None]
) -> None:
    each = -(-how_many("MUTATIONS", 240) // len(samples))
    rows: dict[str, Counter[str]] = {}
    bad: list[str] = []
    for sample, sound in samples:

        def work(number: int, sample: Sample = sample, sound: Adapter = sound) -> str:
            folder = Path(tempfile.mkdtemp())
            try:
                copy = sample.copied(folder)
                how = damage(copy, mutation_generator(sample, number))
                found = judge(copy, sound, tiny)
                return found if found in CLASSES[:3] else f"{found} ({how})"
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        counts = rows.setdefault(sample.name, Counter())
        for number, said in enumerate(one_by_one(range(each), work, _PATIENCE, lambda: limit_memory(_MEMORY))):
            found = next((name for name in CLASSES if said.startswith(name)), "traceback")
            counts[found] += 1
            if found not in CLASSES[:3]:
                bad.append(f"{sample.name} {number}: {said}")
    report("Damaged adapter files", table(rows))
    assert not bad, f"{len(bad)} of {sum(row.total() for row in rows.values())}:\n" + "\n".join(bad[:10])


def mutation_generator(sample: Sample, number: int) -> np.random.Generator:
    """Return what a case is drawn with, so that it can be drawn again alone."""
    return numpy_generator(number, f"mutations of {sample.name}")


def test_sound_files_are_harmless(samples: list[tuple[Sample, Adapter]], tiny: TinyPipeline) -> None:
    assert {judge(sample, sound, tiny) for sample, sound in samples} == {"harmless"}
