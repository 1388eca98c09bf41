"""Sets made: complete, the same however often they were interrupted, and never with what tests are made with."""

import itertools
import multiprocessing
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from portraitist.adapters.banks import unstack
from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig, BadFile, Stopped, TrainingInterrupted
from portraitist.evaluation.encoders import Encoder, embed_images, facts, load_encoder
from portraitist.generation import generate
from portraitist.hypernetworks.identities import executors
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.identities.making import Made, make_set
from portraitist.hypernetworks.identities.settings import SetSettings, TargetSettings, check_settings, keep_settings
from portraitist.hypernetworks.identities.shards import shard_path
from portraitist.hypernetworks.identities.sources.drawn import DrawnSource
from portraitist.hypernetworks.identities.sources.source import Identity, Words
from portraitist.hypernetworks.identities.targets import BankWork, target_recipe, train_bank
from portraitist.training.inputs.latents import autoencoder_key

COUNT, PHOTOS, SIDE = 3, 2, 32
TINY = {"method_config": {"a": 8, "b": 4}, "layers": "attention+text", "batch_size": 1, "learning_rate": 0.1}

Make = Callable[..., Made]


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("toyland-identity")


def source(split: str = "train") -> DrawnSource:
    words = Words("a photo of a {}", "sks")
    return DrawnSource(("cat", "person"), COUNT, split, PHOTOS, SIDE, words, seed=0)


@pytest.fixture(scope="module")
def settings(base: Base, encoder: Encoder) -> SetSettings:
    recipe = target_recipe(base, "lidb", 2, TINY, seed=0)
    return SetSettings(
        source="toyland:cats,people",
        kinds=("cat", "person"),
        split="train",
        count=COUNT,
        photos=PHOTOS,
        token="sks",
        seed=0,
        resolution=SIDE,
        base=base.name,
        fingerprint=base.fingerprint,
        precision=base.precision,
        autoencoder=autoencoder_key(base),
        encoders=(facts(encoder),),
        target=TargetSettings(recipe=recipe.model_dump(mode="json"), bank_size=2),
        shard_size=2,
    )


@pytest.fixture(scope="module")
def make(base: Base, encoder: Encoder, settings: SetSettings) -> Make:
    def run(folder: Path, **options: object) -> Made:
        return make_set(folder, settings, source(), base, [encoder], **options)  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="module")
def whole(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "set"
    assert make(folder).finished
    return folder


def contents(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {str(path.relative_to(folder)): load_file(path) for path in sorted(folder.rglob("*.safetensors"))}


def test_everything_is_there(whole: Path, base: Base, encoder: Encoder) -> None:
    made = IdentitySet.open(whole)
    assert [entry.kind for entry in made] == ["cat", "person", "cat"]
    assert [len(entry.photos) for entry in made] == [PHOTOS] * COUNT
    assert {entry.split for entry in made} == {"train"}
    drawn = source().identity(2)
    assert made[2].key == drawn.key
    numbers = made[2].numbers
    np.testing.assert_array_equal(
        made.photos(numbers).permute(0, 2, 3, 1).numpy(), np.stack([photo.pixels for photo in drawn.photos])
    )
    assert made.prompts(numbers) == [photo.prompt for photo in drawn.photos]
    mean, _ = base.family.encode_pictures(made.photos(numbers).float() / 127.5 - 1)
    torch.testing.assert_close(made.latents(numbers).mean, mean)
    features = made.features("toyland-identity", numbers)
    found = embed_images(encoder, [made.picture(number) for number in numbers])
    torch.testing.assert_close(torch.nn.functional.normalize(features, dim=-1), found)
    bank = made.targets(list(made))
    assert bank.bank_size == COUNT
    assert bank.provenance.facts["base"]["fingerprint"] == base.fingerprint
    targets = [entry.target for entry in made if entry.target is not None]
    assert [target.bank for target in targets] == [0, 0, 1]
    for entry, target in zip(made, targets, strict=True):
        alone = generate(base, [entry.prompt], unstack(made.targets([entry]))[0], show_progress=False)
        pictures = embed_images(encoder, [alone[0].image, *(made.picture(number) for number in entry.numbers)])
        assert target.likeness == pytest.approx(float((pictures[1:] @ pictures[0]).mean()), abs=0.02)


def test_the_card_tells_what_it_cost(whole: Path) -> None:
    card = (whole / "README.md").read_text()
    assert "3 identities, 6 photos." in card
    assert "identities an hour" in card
    for stage in ("photos", "latents", "features", "targets", "together"):
        assert f"| {stage} |" in card
    assert "checksum of the targets' auxiliary bases" in card


def test_a_run_that_is_killed_while_it_writes_goes_on(base: Base, settings: SetSettings, tmp_path: Path) -> None:
    """Kill the run at its next write, again and again, until nothing is left to write."""
    folder, whole = tmp_path / "set", tmp_path / "whole"
    assert settings.target is not None
    one = settings.target.model_copy(update={"bank_size": 1})
    small = settings.model_copy(update={"count": 2, "shard_size": 1, "encoders": (), "target": one})

    def make(folder: Path) -> Made:
        return make_set(folder, small, source(), base)

    make(whole)

    def one_write_further() -> None:
        written = 0
        replace_file = os.replace

        def count(*names: str) -> None:
            nonlocal written
            if written:
                os._exit(9)
            written += 1
            replace_file(*names)

        os.replace = count  # type: ignore[assignment]
        make(folder)
        os._exit(0)

    kept: dict[Path, int] = {}
    for _ in range(40):
        child = multiprocessing.get_context("fork").Process(target=one_write_further)
        child.start()
        child.join()
        for path, when in kept.items():
            assert path.stat().st_mtime_ns == when, f"{path} was whole, and was made again"
        files = (path for path in folder.rglob("*.safetensors") if "/." not in str(path))
        kept = {path: path.stat().st_mtime_ns for path in files}
        if len(kept) == len(contents(whole)):
            break
    assert make(folder).finished
    assert list(folder.rglob(".*")) == []
    assert contents(folder).keys() == contents(whole).keys()
    for name, tensors in contents(folder).items():
        for key, value in tensors.items():
            assert torch.equal(value, contents(whole)[name][key]), (name, key)
    here, there = ([replace(e, target=None) for e in IdentitySet.open(each)] for each in (folder, whole))
    assert here == there


def test_a_finished_set_is_left_alone(make: Make, whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")}
    assert make(whole).finished
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")} == before


def test_the_clock_ends_a_run_that_goes_on_later(make: Make, tmp_path: Path) -> None:
    folder, seconds = tmp_path / "set", itertools.count(0, 25)
    made = make(folder, minutes=0.5, clock=lambda: float(next(seconds)))
    assert not made.finished
    assert len(IdentitySet.open(folder)) == 2, "a shard"
    assert "It is not finished: 3 were asked for." in (folder / "README.md").read_text()
    assert make(folder).finished
    assert len(IdentitySet.open(folder)) == COUNT


def test_a_run_stops_on_request_with_an_index_of_what_is_there(make: Make, tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []

    def report(stage: str, done: int, total: int) -> None:
        heard.append((stage, done, total))
        if stage == "training targets":
            raise Stopped(stage, done, total)

    with pytest.raises(Stopped):
        make(tmp_path / "set", report=report)
    assert heard == [("making photos", 2, 3), ("making photos", 3, 3), ("training targets", 2, 3)]
    assert [entry.target is not None for entry in IdentitySet.open(tmp_path / "set")] == [True, True, False]


def test_an_interrupted_bank_is_left_out_of_the_index(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(work: BankWork, base: Base) -> bytes:
        if work.number == 1:
            raise TrainingInterrupted("step 1 of 2", None)
        return train_bank(work, base)

    monkeypatch.setattr(executors, "train_bank", interrupted)
    with pytest.raises(Stopped, match="stopped while training targets, after 2 of 3"):
        make(tmp_path / "set")
    assert len(IdentitySet.open(tmp_path / "set").with_targets()) == 2


def test_a_damaged_shard_is_named(make: Make, whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "set")
    path = shard_path(folder, "photos", 1)
    save_file(load_file(path), path, metadata={"seconds": "1.0"})
    with pytest.raises(BadFile, match=r"00001\.safetensors does not say its identities; delete it"):
        make(folder)
    path.unlink()
    assert make(folder).finished


def test_other_settings_are_refused(make: Make, whole: Path, settings: SetSettings, base: Base) -> None:
    other = settings.model_copy(update={"photos": 5})
    with pytest.raises(BadConfig, match="made with photos 2, not 5"):
        make_set(whole, other, source(), base, [])


def larger(settings: SetSettings, count: int, shard_size: int = 2) -> SetSettings:
    return settings.model_copy(update={"count": count, "target": None, "encoders": (), "shard_size": shard_size})


def test_a_set_becomes_larger_where_its_files_are_full(settings: SetSettings, base: Base, tmp_path: Path) -> None:
    words = Words("a photo of a {}", "sks")

    def make_of(count: int, folder: Path) -> IdentitySet:
        drawn = DrawnSource(("cat", "person"), count, "train", PHOTOS, SIDE, words, seed=0)
        make_set(folder, larger(settings, count), drawn, base)
        return IdentitySet.open(folder)

    folder = tmp_path / "set"
    make_of(2, folder)
    first = (folder / "photos" / "00000.safetensors").stat().st_mtime_ns
    grown, whole = make_of(4, folder), make_of(4, tmp_path / "whole")
    assert (folder / "photos" / "00000.safetensors").stat().st_mtime_ns == first, "what is there stays"
    assert [entry.key for entry in grown] == [entry.key for entry in whole]
    with pytest.raises(BadConfig, match="holds a set of 4 identities; --count can only become larger"):
        make_of(3, folder)


def test_a_set_whose_last_file_is_not_full_stays_as_large_as_it_is(settings: SetSettings, tmp_path: Path) -> None:
    keep_settings(tmp_path, larger(settings, 3))
    with pytest.raises(BadConfig, match=r"3 identities, in files of 2 of which the last is not full"):
        check_settings(tmp_path, larger(settings, 4))
    folder = tmp_path / "dogs"
    keep_settings(folder, larger(settings, 2).model_copy(update={"source": "my-dogs"}))
    with pytest.raises(BadConfig, match="holds a set of 2 of its folders, and there are 4 now"):
        check_settings(folder, larger(settings, 4).model_copy(update={"source": "my-dogs"}))


class Lying:
    """A source that delivers identities which tests are made with."""

    name, kinds, count = "toyland:cats,people", ("cat", "person"), COUNT

    def identity(self, index: int) -> Identity:
        return source("test").identity(index)


def test_nobody_whom_tests_are_made_with_is_ever_in_a_training_set(
    settings: SetSettings, base: Base, encoder: Encoder, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="is of the split test, not train"):
        make_set(tmp_path / "set", settings, Lying(), base, [encoder])
    everybody = settings.model_copy(update={"split": "all", "target": None})
    made = make_set(tmp_path / "all", everybody, Lying(), base, [encoder])
    assert made.finished
    with pytest.raises(BadConfig, match="no identities to be used for train"):
        IdentitySet.open(tmp_path / "all").part("train")
    assert len(IdentitySet.open(tmp_path / "all").part("test")) == COUNT


def test_the_example_of_the_documentation_runs(whole: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "hypernetworks.md").read_text(encoding="utf-8")
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "IdentitySet.open" in code]
    names: dict[str, object] = {}
    exec(compile(example.replace('"people"', repr(str(whole))), "hypernetworks.md", "exec"), names)
    assert len(names["seen"]) == len(names["wanted"]) == 8  # type: ignore[arg-type]


def test_photos_that_are_drawn_as_everybodys_are_told_from_a_persons_own(
    settings: SetSettings, base: Base, tmp_path: Path
) -> None:
    alike = larger(settings, 2).model_copy(update={"alike": 1})
    drawn = DrawnSource(("person",), 2, "train", PHOTOS, SIDE, Words("a photo of a {}", "sks"), seed=0, alike=1)
    make_set(tmp_path, alike, drawn, base)
    known = IdentitySet.open(tmp_path)
    assert [list(known.own_photos(entry)) for entry in known] == [[1], [3]]
    assert known[0].photos[0].prompt == known[1].photos[0].prompt
    known.settings = alike.model_copy(update={"alike": PHOTOS})
    assert list(known.own_photos(known[0])) == [0, 1]
