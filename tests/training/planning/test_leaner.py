"""Which change makes a run fit: the one that costs least."""

from dataclasses import replace

import pytest

from portraitist.bases.cards import Card
from portraitist.training.planning.leaner import Choices, find_fits
from portraitist.training.planning.memory import Footprint, Setup, Trained

GB = 10**9
ASKED = Setup(batch_size=4, resolution=1024)
FOOTPRINT = Footprint(
    batch_size=4,
    resolution=1024,
    weights={"unet": 5 * GB, "text_encoder": 2 * GB, "vae": GB // 5},
    staying=("unet",),
    linear=2 * GB,
    width=2,
    largest=GB // 50,
    kept=0,
    plain=20 * GB,
    checkpointed=2 * GB,
    resolution_step=8,
    text=0,
    encoding=GB,
    decoding=GB,
)
TRAINED = Trained(GB // 100, {"adamw": GB // 50, "adamw8bit": GB // 200}, averaged=False, sampled="never")
CHOICES = Choices(ASKED, accumulate=2, bits=True, resolution_step=8)


def flags(gigabytes: float, choices: Choices = CHOICES) -> str | None:
    card = Card("a card", round(gigabytes * GB) + 2**30)
    (fit,) = find_fits(FOOTPRINT, TRAINED, choices, [card])
    return None if fit.memory is None else " ".join(fit.flags)


@pytest.mark.parametrize(
    ("room", "wanted"),
    [
        (30, ""),
        (26, "--set memory.offload=true"),
        (20, "--batch-size 2 --set accumulate=4"),
        (16, "--set memory.offload=true --batch-size 2 --set accumulate=4"),
        (13, "--batch-size 1 --set accumulate=8"),
        (9.3, "--set memory.checkpoint_activations=true"),
        (8.3, "--set memory.offload=true --set memory.checkpoint_activations=true"),
        (7.0, "--set memory.offload=true --set memory.checkpoint_activations=true --base-bits 8"),
        (1, None),
    ],
)
def test_what_costs_least_comes_first(room: float, wanted: str | None) -> None:
    assert flags(room) == wanted


def test_nothing_that_was_asked_for_is_taken_back() -> None:
    asked = replace(ASKED, batch_size=3, checkpointed=True, offloaded=True, optimizer="prodigy", bits=4)
    setups = Choices(asked, 1, bits=True, resolution_step=8).ranked()
    assert setups[0] == asked
    assert {each.batch_size for each in setups} == {3, 1}
    assert {each.resolution for each in setups} == {1024, 768, 512}
    assert all(each.checkpointed and each.offloaded and each.bits == 4 for each in setups)
    assert {each.optimizer for each in setups} == {"prodigy"}


def test_methods_that_read_weights_are_not_offered_fewer_bits() -> None:
    assert {each.bits for each in Choices(ASKED, 1, bits=False, resolution_step=8).ranked()} == {None}


def test_pictures_have_sides_that_the_base_makes() -> None:
    assert {
        each.resolution for each in Choices(replace(ASKED, resolution=72), 1, bits=False, resolution_step=8).ranked()
    } == {72}
