"""Damaged folders of the package's own making: each is named, or nothing is lost by it; none costs time or memory."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from comparing import TinyPipeline
from painted_set import paint_set
from small_difflora import small_difflora
from small_hypernetworks import small_recipe
from typer.testing import CliRunner

from portraitist.adapters import Adapter, Space, find_layers
from portraitist.adapters.layouts.lora import LoraConfig
from portraitist.bases import Base
from portraitist.cli.main import app
from portraitist.hypernetworks.difflora.making import WeightWorkshop
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.making import PredictorWorkshop
from portraitist.hypernetworks.networks.contract import Wish
from portraitist.hypernetworks.saved import load_hypernetwork
from portraitist.studies.grid.study import load_study
from portraitist.studies.runs.engine import prepare, take_over
from portraitist.studies.runs.table import RunTable
from portraitist.training.networks.machine import Machine
from portraitist.training.starting import start_from

from .conftest import how_many
from .counting import class_of, class_table, damage_all
from .mutating import Sample, drawn, make_samples
from .test_two_at_once import STUDY

Read = Callable[[Path], dict[str, Any]]


@dataclass(frozen=True)
class Subject:
    """A sound folder or file, what reads it, and what was read of it."""

    sample: Sample
    read: Read
    sound: dict[str, Any]


def read_hypernetwork(folder: Path) -> dict[str, Any]:
    """Load a hypernetwork, and predict from a photo of nothing."""
    loaded = load_hypernetwork(str(folder))
    features = {name: torch.ones(1, 1, *shape) for name, shape in loaded.description.shapes.items()}
    with torch.no_grad():
        numbers = loaded.predictor.predict(features, Wish())
    return {"description": loaded.description, "numbers": numbers, **loaded.predictor.state_dict()}


def read_set(folder: Path) -> dict[str, Any]:
    """Open a set, and read everything in it."""
    known = IdentitySet.open(folder)
    photos = [number for entry in known for number in entry.numbers]
    latents = known.latents(photos)
    bank = known.targets(list(known))
    return {
        "entries": known.members,
        "photos": known.photos(photos),
        "mean": latents.mean,
        "deviation": latents.deviation,
        "prompts": latents.prompts,
        "framings": latents.framings,
        **bank.named_parameters(),
    }


def study_reader(study: Path) -> Read:
    """Return what takes a study's runs over from a folder that is damaged, or from its table."""

    def read(place: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            prepared = prepare(load_study(study), Path(folder))
            taken = take_over(prepared, place)
            records = prepared.table.records()
        if place.is_dir():
            table = RunTable(place)
            records = {**records, "own": table.records(), "facts": table.facts()}  # type: ignore[dict-item]
        return {"taken": taken, **records}

    return read


def start_reader(blank: Adapter, base: Base) -> Read:
    """Return what starts a training from an adapter that is damaged."""

    def read(path: Path) -> dict[str, Any]:
        start_from(blank, path, base)
        return {name: value.clone() for name, value in blank.named_parameters().items()}

    return read


@pytest.fixture(scope="module")
def subjects(
    base: Base, tiny: TinyPipeline, tiny_base_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Subject]:
    folder = tmp_path_factory.mktemp("folders")
    layers = find_layers(base.components, ("linear:unet.mid_block*attn1.to_[qkv]",))
    space = Space.of("lora", LoraConfig(2), layers)
    loras = paint_set(folder / "set", base, count=6, targets=space)
    PredictorWorkshop(folder / "hyperdreambooth", "portraitist", small_recipe(), loras, base, Machine()).train()
    WeightWorkshop(folder / "difflora", "portraitist", small_difflora(), loras, base, Machine()).train()
    study = folder / "one.yaml"
    study.write_text(yaml.safe_dump({**yaml.safe_load(STUDY), "base": str(tiny_base_folder)}))
    ran = CliRunner().invoke(app, ["study", str(study), "--workers", "1", "-o", str(folder / "study")])
    assert ran.exit_code == 0, ran.output
    make_samples(tiny, folder / "adapters")
    reading = study_reader(study)
    wanted: list[tuple[str, Path, Read, tuple[str, ...]]] = [
        ("hyperdreambooth", folder / "hyperdreambooth", read_hypernetwork, ("config.json", "model.safetensors")),
        ("difflora", folder / "difflora", read_hypernetwork, ("config.json", "model.safetensors")),
        ("set of identities", loras.folder, read_set, ("settings.json", "index.parquet", "**/00000.safetensors")),
        ("study", folder / "study", reading, ("runs.csv", "runs.sqlite")),
        ("runs.csv", folder / "study" / "runs.csv", reading, ()),
        ("start", folder / "adapters" / "lora.safetensors", start_reader(drawn(tiny, "lora"), base), ()),
    ]
    found = []
    for name, path, read, patterns in wanted:
        files = sorted(file for pattern in patterns for file in path.glob(pattern)) or [path]
        found.append(Subject(Sample(name, path, tuple(files)), read, read(path)))
    return found


def judge(subject: Subject, path: Path) -> str:
    """Say which class a damaged folder or file is of that can be read."""
    read = subject.read(path)
    tensors = [value for value in read.values() if isinstance(value, torch.Tensor) and value.is_floating_point()]
    if not all(bool(value.isfinite().all()) for value in tensors):
        return "accepted though damaged"
    same = read.keys() == subject.sound.keys() and all(is_same(read[key], subject.sound[key]) for key in read)
    return "harmless" if same else "unknowable"


def judged(subject: Subject, sample: Sample) -> str:
    return class_of(lambda: judge(subject, sample.path))


def is_same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.shape == other.shape and bool(torch.equal(one, other))
    return bool(one == other)


def test_damaged_folders(subjects: list[Subject], report: Callable[[str, str], None]) -> None:
    each = -(-how_many("MUTATIONS", 120) // len(subjects) // 2)
    judges = [(subject.sample, partial(judged, subject)) for subject in subjects]
    rows, bad = damage_all(judges, each)
    report("Damaged folders", class_table(rows))
    assert not bad, f"{len(bad)} of {sum(row.total() for row in rows.values())}:\n" + "\n".join(bad[:10])


def test_sound_folders_are_harmless(subjects: list[Subject]) -> None:
    assert {judged(subject, subject.sample) for subject in subjects} == {"harmless"}
