"""Starting from an adapter: its values come first, they decide which run it is, and others are refused."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from portraitist.adapters import Adapter, load_adapter, stack
from portraitist.bases import Base, load_base
from portraitist.bases.examples import get_example
from portraitist.errors import BadConfig, BadFile, BaseMismatch, TrainingInterrupted
from portraitist.training.multi_subject.teaching import train_several
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.single_image import single_image_recipe, teach_picture
from portraitist.training.starting import START, start_from
from portraitist.training.subjects import Subject

STILL = 1e-30  # a learning rate too small to change a float32


def recipe(base: Base, method: str = "lora", **settings: Any) -> Recipe:
    own = {"steps": 1, "prior": "none", "mirror": False, "batch_size": 2, "weight_decay": 0.0, "warmup_steps": 0}
    return load_recipe(method, "toyland", base.family.name, overrides={**own, **settings})


@pytest.fixture(scope="module")
def cat(base: Base) -> Subject:
    return subject(base, "sks")


def subject(base: Base, token: str) -> Subject:
    return Subject.from_folder(get_example("cat-1b7ecd").folder, "cat", token, base.family.resolution)


@pytest.fixture(scope="module")
def file(base: Base, cat: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("start") / "first.safetensors"
    train(base, cat, recipe(base, learning_rate=0.05), output=target)
    return target


def same(one: Adapter, other: Adapter) -> bool:
    values, found = one.named_parameters(), other.named_parameters()
    return values.keys() == found.keys() and all(torch.equal(value, found[name]) for name, value in values.items())


def test_a_run_that_learns_nothing_gives_its_start_back(base: Base, cat: Subject, file: Path, tmp_path: Path) -> None:
    first = load_adapter(file)
    still = recipe(base, learning_rate=STILL, average_decay=0.9)
    output = tmp_path / "second.safetensors"
    train(base, cat, still, output=output, start=file)
    second = load_adapter(output)
    assert same(second, first)
    assert not same(train(base, cat, still), first)
    start = second.provenance.facts[START]
    assert (start["file"], start["trigger"], start["steps"]) == ("first.safetensors", "sks cat", 1)
    assert same(train(base, cat, still, start=first), first)


def test_every_way_of_training_starts_from_an_adapter(base: Base, cat: Subject, file: Path) -> None:
    first, still = load_adapter(file), recipe(base, learning_rate=STILL)
    assert same(train_several(base, [cat, subject(base, "olo")], still, start=file), first)
    alone = single_image_recipe("lora", base, {"steps": 1, "learning_rate": STILL, "layers": still.layers})
    alone = alone.replace({"method_config": still.method_config})
    assert same(teach_picture(base, cat.photos[0], "a cat", alone, start=file), first)


def test_learned_words_are_taken_over(base: Base, cat: Subject) -> None:
    settings = {"layers": ["token-embedding", "attention"]}
    words = recipe(base, "textual-inversion+lora", learning_rate=0.05, **settings)
    first = train(base, cat, words)
    assert next(params["offset"] for params in first.values.values() if "offset" in params).abs().max() > 0
    still = words.replace({"learning_rate": STILL, "text_learning_rate": STILL})
    assert same(train(base, cat, still, start=first), first)
    with pytest.raises(BadConfig, match=r"has learned other words \(sks cat\); use the token and class noun"):
        train(base, subject(base, "olo"), words, start=first)


def test_a_run_is_resumed_from_its_own_start_only(base: Base, cat: Subject, file: Path, tmp_path: Path) -> None:
    settings = recipe(base, steps=3, average_decay=0.9)
    through = train(base, cat, settings, start=file)
    output = tmp_path / "second.safetensors"

    def interrupt(step: int) -> None:
        if step == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(TrainingInterrupted):
        train(base, cat, settings, output=output, start=file, callbacks=[interrupt])
    with pytest.raises(BadConfig, match=r"holds another run: task.start was '\w+' and is None now"):
        train(base, cat, settings, output=output, resume=True)
    other = load_adapter(file)
    next(iter(other.named_parameters().values())).data += 1
    with pytest.raises(BadConfig, match=r"holds another run: task.start"):
        train(base, cat, settings, output=output, resume=True, start=other)
    assert same(train(base, cat, settings, output=output, resume=True, start=file), through)


@pytest.mark.parametrize(
    ("method", "settings", "complaint"),
    [
        ("full", {}, "is a lora adapter, but this run trains full; start from an adapter of the same method"),
        ("lora", {"method_config": {"rank": 3}}, "has rank=8, but this run rank=3"),
        ("lora", {"layers": ["unet.*attn1.to_q"]}, r"adapts text_encoder\..*, which this run does not"),
        ("lora", {"layers": ["attention+text", "unet.conv_out"]}, r"does not adapt unet.conv_out, which this run does"),
    ],
)
def test_an_adapter_of_another_space_is_refused(
    base: Base, cat: Subject, file: Path, method: str, settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadConfig, match=complaint):
        train(base, cat, recipe(base, method, **settings), start=file)


def test_what_is_no_adapter_of_this_base_is_refused(
    base: Base, cat: Subject, file: Path, other_base_folder: Path, tmp_path: Path
) -> None:
    settings = recipe(base)
    with pytest.raises(BaseMismatch, match=r"first.safetensors was made for .* start from an adapter of the same base"):
        train(load_base(other_base_folder), cat, settings, start=file)
    with pytest.raises(BadFile, match="does not exist"):
        train(base, cat, settings, start=tmp_path / "nowhere.safetensors")
    bank = stack([load_adapter(file), load_adapter(file)])
    with pytest.raises(BadConfig, match="is a bank of 2 adapters"):
        start_from(load_adapter(file), bank, base)
