"""Several subjects on the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from portraitist.adapters import load_adapter
from portraitist.bases.examples import get_example
from portraitist.cli.subjects import parse_subject
from portraitist.errors import BadConfig
from tests.cli.conftest import Run

CAT, ROBOT = (get_example(name).folder for name in ("cat-1b7ecd", "robot-6f3f5f"))
TWO = ("--subject", f"{CAT}:cat:sks", "--subject", f"{ROBOT}:robot:olo")


def test_two_subjects_are_taught_and_shown(run: Run, tiny_base_folder: Path) -> None:
    quick = ("--base", tiny_base_folder, "--steps", 1, "--no-prior", "--method", "svdiff")
    result = run("train", *TWO, "--cut-mix-unmix", *quick)
    assert "'sks cat', 5 photos" in result.output
    assert "'olo robot', 5 photos" in result.output
    assert "60% of the samples, Unmix loss with weight 1" in result.output
    assert "photo of sks cat and olo robot on the beach" in result.output
    adapter = load_adapter("cat-1b7ecd-and-robot-6f3f5f.safetensors")
    assert adapter.provenance.facts["recipe"]["cut_mix"] == 0.6
    result = run(
        "generate", "a sks cat", "a cat", "--adapter", "cat-1b7ecd-and-robot-6f3f5f.safetensors", "-n", 1, "--steps", 1
    )
    assert "the prompt 'a cat' does not contain 'sks' or 'olo'" in result.stderr
    assert "'a sks cat'" not in result.stderr


def test_collages_without_the_loss_and_none_at_all(run: Run, tiny_base_folder: Path) -> None:
    quick = ("--base", tiny_base_folder, "--steps", 1, "--no-prior", "-o", "both.safetensors")
    run("train", *TWO, "--cut-mix", *quick, "--set", "cut_mix=0.3")
    recipe = load_adapter("both.safetensors").provenance.facts["recipe"]
    assert (recipe["cut_mix"], recipe["unmix_weight"]) == (0.3, 0.0)
    run("train", *TWO, *quick, "--overwrite")
    assert load_adapter("both.safetensors").provenance.facts["recipe"]["cut_mix"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((*TWO, "--class", "cat"), "give either photos with --class and --token, or each subject with --subject"),
        ((*TWO, CAT), "give either photos"),
        ((*TWO, "--token", "zwx"), "give either photos"),
        (TWO[:2], "one subject is taught without --subject"),
        ((CAT, "--class", "cat", "--cut-mix-unmix"), "collages show several subjects"),
        (("--class", "cat"), "there are no photos"),
        ((CAT,), "needs a class noun"),
        ((*TWO[:2], "--subject", f"{ROBOT}:robot"), "a subject is written --subject PHOTOS:CLASS:TOKEN"),
        ((*TWO[:2], "--subject", "nowhere:robot:olo"), "nowhere does not exist"),
        ((*TWO[:2], "--subject", f"{ROBOT}:robot:sks"), "have the same token 'sks'"),
        (
            (*TWO[:2], "--subject", f"{ROBOT}:robot:xylophonist"),
            "tokens; rare single tokens of this base",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    fail: Callable[..., str], tiny_base_folder: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    assert complaint in fail("train", *arguments, "--base", tiny_base_folder, "--steps", 1)


def test_a_path_may_hold_colons_and_a_class_spaces() -> None:
    parsed = parse_subject("C:/photos of: bear:teddy bear:sks")
    assert (parsed.photos, parsed.class_noun, parsed.token) == ((Path("C:/photos of: bear"),), "teddy bear", "sks")
    with pytest.raises(BadConfig):
        parse_subject("photos::sks")
