"""Damaged adapter files of all formats: each is named, or nothing is lost by it; none costs time or memory."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from comparing import TinyPipeline

from portraitist.adapters import Adapter, Attachment, load_bank
from portraitist.errors import MissingBase
from portraitist.exchange.inspecting import inspect_file
from portraitist.exchange.loading import load_any

from .conftest import how_many
from .counting import class_of, class_table, damage_all
from .mutating import Sample, make_samples


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
    """Say which class a damaged sample is of that can be read."""
    adapter = look(sample.path, tiny)
    finite = all(bool(value.isfinite().all()) for value in adapter.named_parameters().values())
    if not finite or (adapter.layers.keys() != sound.layers.keys() and sample.name != "diffusekrona"):
        return "accepted though damaged"
    same = adapter.space == sound.space and all(
        torch.equal(value, sound.values[layer][key])
        for layer, tensors in adapter.values.items()
        for key, value in tensors.items()
    )
    return "harmless" if same else "unknowable"


def judged(sample: Sample, sound: Adapter, tiny: TinyPipeline) -> str:
    return class_of(lambda: judge(sample, sound, tiny))


@pytest.fixture(scope="session")
def samples(tiny: TinyPipeline, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Sample, Adapter]]:
    made = make_samples(tiny, tmp_path_factory.mktemp("sound"))
    return [(sample, load(sample.path, tiny)) for sample in made]


def test_damaged_files_of_all_formats(
    samples: list[tuple[Sample, Adapter]], tiny: TinyPipeline, report: Callable[[str, str], None]
) -> None:
    each = -(-how_many("MUTATIONS", 240) // len(samples))
    rows, bad = damage_all([(sample, partial(judged, sound=sound, tiny=tiny)) for sample, sound in samples], each)
    report("Damaged adapter files", class_table(rows))
    assert not bad, f"{len(bad)} of {sum(row.total() for row in rows.values())}:\n" + "\n".join(bad[:10])


def test_sound_files_are_harmless(samples: list[tuple[Sample, Adapter]], tiny: TinyPipeline) -> None:
    assert {judged(sample, sound, tiny) for sample, sound in samples} == {"harmless"}
