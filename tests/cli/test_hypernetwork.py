"""The command line from a set to a hypernetwork to an adapter file that is converted like any other."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from painted_set import paint, paint_set
from small_difflora import lora_space

from portraitist.adapters import load_adapter
from portraitist.bases import Base

Run = Callable[..., Result]

_TINY = (
    *(
        "--set",
        "sight.encoders=[]",
        "--set",
        "sight.latents=2",
        "--set",
        "decoder.width=16",
        "--set",
        "decoder.heads=2",
    ),
    *("--set", "output.config.changes=3", "--set", "training.steps=2", "--set", "training.batch_size=4"),
)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    paint(0, 7, 32).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def trained_hypernetwork(run: Run, base: Base, tmp_path: Path) -> Path:
    paint_set(tmp_path / "set", base)
    shown = run("hypernetwork", "train", "hyperdreambooth", "--identities", "set", "-o", "net", *_TINY).output
    assert "2 of class cat, 2 of class robot" in shown
    assert "2 steps" in shown
    return tmp_path / "net"


def test_a_photo_becomes_an_adapter_that_is_refined_and_converted(
    run: Run, fail: Callable[..., str], trained_hypernetwork: Path, photo: Path
) -> None:
    ask = ("instant", photo, "--class", "cat", "--hypernetwork", trained_hypernetwork)
    shown = run(*ask, "-o", "cat.safetensors").output
    assert "a photo of a sks cat on the beach" in shown
    assert load_adapter("cat.safetensors").method.name == "lora"
    run("convert", "cat.safetensors", "--to", "kohya", "-o", "kohya.safetensors")
    assert "exists already" in fail(*ask, "-o", "cat.safetensors")
    shown = run(*ask, "-o", "refined.safetensors", "--refine", 2, "--guidance", 1.5, "--rank", 1).output
    assert "2 steps" in shown
    assert "of the change" in shown
    ranks = {name: load_adapter(f"{name}.safetensors").config.rank for name in ("refined", "refined-predicted")}  # type: ignore[attr-defined]
    assert ranks == {"refined": 5, "refined-predicted": 1}
    said = fail(*ask, "-o", "other.safetensors", "--seed", 1)
    assert "draws none, so that --seed and --sampling-steps have no effect" in said
    assert "was trained on other kinds" in run(*ask[:2], "--class", "dog", *ask[4:], "-o", "dog.safetensors").stderr


def test_a_hypernetwork_is_inspected_and_listed(run: Run, trained_hypernetwork: Path) -> None:
    shown = run("hypernetwork", "inspect", trained_hypernetwork).output
    assert "subspace (changes 3)" in shown
    shown = run("hypernetwork", "list").output
    assert "hyperdreambooth: paper, portraitist" in shown
    assert "difflora: paper, portraitist, tokens" in shown
    assert "portraitist identities SOURCE -o SET --target lora" in shown


def test_another_hypernetwork_begins_with_its_changes(
    run: Run, fail: Callable[..., str], trained_hypernetwork: Path
) -> None:
    train = ("--identities", "set", "-o", "second", "--changes-of", trained_hypernetwork)
    assert "difflora has no learned changes" in fail("hypernetwork", "train", "difflora", *train)
    assert "are 3 a layer on" in fail("hypernetwork", "train", "hyperdreambooth", *train, "--set", "sight.encoders=[]")
    shown = run("hypernetwork", "train", "hyperdreambooth", *train, *_TINY).output
    assert "the learned changes of net, trained for 2 steps" in shown


def test_what_cannot_work_is_said_in_one_line(
    fail: Callable[..., str], base: Base, photo: Path, tmp_path: Path
) -> None:
    train = ("hypernetwork", "train")
    assert "no hypernetwork is called 'e4t'" in fail(*train, "e4t", "--identities", "set", "-o", "net")
    assert "holds no set" in fail(*train, "hyperdreambooth", "--identities", tmp_path, "-o", "net")
    assert "there is no recipe 'papr'" in fail(
        *train, "hyperdreambooth", "--identities", "set", "-o", "net", "--recipe", "papr"
    )
    assert "in these stages: run; not 'autoencoder'" in fail(
        *train,
        "hyperdreambooth",
        "--identities",
        paint_set(tmp_path / "set", base).folder,
        "-o",
        "net",
        "--stage",
        "autoencoder",
        *_TINY,
    )
    ask = ("instant", photo, "--class", "cat", "-o", "cat.safetensors")
    assert "there is no hypernetwork 'toilet'" in fail(*ask, "--hypernetwork", "toilet")
    assert "ends in .safetensors" in fail(*ask[:-1], "cat.bin")


def test_difflora_draws_loras_that_are_refined(run: Run, base: Base, photo: Path, tmp_path: Path) -> None:
    paint_set(tmp_path / "loras", base, 5, targets=lora_space(base), frozen_a=True)
    small = {"depth": 1, "width": 8, "heads": 2, "tokens": 2}
    settings = [f"generator.{name}={value}" for name, value in small.items()]
    settings += ["generator_training.steps=2", "generator_training.batch_size=4"]
    train = ("hypernetwork", "train", "difflora", "--identities", "loras", "-o", "net")
    shown = run(*train, *(word for each in settings for word in ("--set", each))).output
    assert "LoRAs of rank 2" in shown
    said = run("hypernetwork", "inspect", "net").output
    assert "difflora, recipe portraitist" in said
    assert "by principal" in said
    assert "to 4" in said
    assert "in 50 steps; another --seed, another LoRA" in said
    assert "portraitist instant PHOTO --class cat -o one.safetensors --hypernetwork net" in said
    ask = ("instant", photo, "--class", "cat", "--hypernetwork", "net", "--seed", 3, "--sampling-steps", 2)
    run(*ask, "-o", "drawn.safetensors", "--guidance", 1.5)
    drawn = load_adapter("drawn.safetensors")
    assert drawn.provenance.facts["hypernetwork"]["seed"] == 3
    assert drawn.config.rank == 2  # type: ignore[attr-defined]
    run("convert", "drawn.safetensors", "--to", "kohya", "-o", "kohya.safetensors")
    run(*ask, "-o", "refined.safetensors", "--refine", 1)
    assert load_adapter("refined.safetensors").config.rank == 6  # type: ignore[attr-defined]
