"""Several subjects in one adapter: every method, collages, resuming, and what is refused before training starts."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from portraitist.adapters import attached, load_adapter
from portraitist.bases import Base
from portraitist.bases.examples import get_example
from portraitist.errors import BadConfig, TrainingInterrupted
from portraitist.training import fitting
from portraitist.training.blank_adapters import blank_adapter
from portraitist.training.inputs.latents import encode
from portraitist.training.loop.processes import Processes
from portraitist.training.multi_subject.cut_mix import Sample, collage
from portraitist.training.multi_subject.task import MultiSubjectTask, gather, gather_unprompted
from portraitist.training.multi_subject.teaching import check_subjects, train_several, with_cut_mix
from portraitist.training.multi_subject.unmix import USUAL_WEIGHT, UnmixLoss
from portraitist.training.outputs import run_folder
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.subjects import Subject

METHODS = ("lora", "krona", "lidb", "svdiff", "textual-inversion", "full")
SMALL = {"krona": {"out_factor": 4, "in_factor": 4}, "lidb": {"a": 8, "b": 8}}


def subject(base: Base, name: str, token: str) -> Subject:
    example = get_example(name)
    return Subject.from_folder(example.folder, example.class_noun, token, base.family.resolution)


@pytest.fixture(scope="module")
def pair(base: Base) -> list[Subject]:
    return [subject(base, "cat-1b7ecd", "sks"), subject(base, "robot-6f3f5f", "olo")]


def recipe(base: Base, method: str = "svdiff", **values: Any) -> Recipe:
    quick = {"steps": 2, "batch_size": 2, "prior": "none", "mirror": False, "method_config": SMALL.get(method, {})}
    return load_recipe(method, "toyland", base.family.name, overrides={**quick, **values})


def task(base: Base, subjects: Sequence[Subject], settings: Recipe) -> MultiSubjectTask:
    return MultiSubjectTask(
        base, blank_adapter(base, settings, {}), settings, [gather(base, one, settings) for one in subjects]
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_several_subjects_with_collages_and_unmix(
    base: Base, pair: list[Subject], method: str, tmp_path: Path
) -> None:
    settings = with_cut_mix(recipe(base, method, cut_mix=1.0))
    assert settings.unmix_weight == USUAL_WEIGHT
    adapter = train_several(base, pair, settings, output=tmp_path / "both.safetensors")
    assert any(value.abs().sum() > 0 for value in adapter.named_parameters().values())
    written = load_adapter(tmp_path / "both.safetensors")
    assert written.provenance.facts["trigger"] == "sks cat, olo robot"
    assert [one["token"] for one in written.provenance.facts["subjects"]] == ["sks", "olo"]
    assert not any("forward" in vars(module) for module in base.components["unet"].modules())


def test_several_subjects_keep_what_one_has(base: Base, pair: list[Subject], tmp_path: Path) -> None:
    """The autoencoder and text encoders may go away between steps, and sheets show every subject."""
    settings = with_cut_mix(recipe(base, prior="generated", prior_images=2, cut_mix=0.5))
    sheets = {"samples_every": 2, "sampling_steps": 1}
    plain = train_several(base, pair, settings)
    output = tmp_path / "both.safetensors"
    own = settings.replace({"memory": {"offload": True}, "log": sheets})
    spared = train_several(base, pair, own, output=output)
    for name, value in plain.named_parameters().items():
        assert torch.equal(value, spared.named_parameters()[name]), name
    with Image.open(run_folder(output) / "samples-000002.png") as sheet:
        assert sheet.width >= 2 * base.family.resolution


def test_textual_inversion_teaches_each_token_from_its_own_class(base: Base, pair: list[Subject]) -> None:
    config: Any = train_several(base, pair, recipe(base, "textual-inversion", steps=1)).config
    assert config.token_ids == (*base.family.token_ids("sks"), *base.family.token_ids("olo"))
    assert config.initial_ids == (base.family.token_ids("cat")[0], base.family.token_ids("robot")[0])


def test_the_losses_of_a_step_add_up_and_unmix_reaches_the_parameters(base: Base, pair: list[Subject]) -> None:
    from portraitist.adapters import attached

    settings = recipe(base, cut_mix=1.0, unmix_weight=0.5, prior="generated", prior_images=2, layers="UNet-CA-KV")
    made = task(base, pair, settings)
    unet = base.pipeline.unet.config
    size = (unet.in_channels, unet.sample_size, unet.sample_size)
    made = MultiSubjectTask(base, made.adapter, settings, made.inputs, UnmixLoss(base, size))
    with attached(base.components, made.adapter):
        losses = made.step(0, 0)
        assert losses["unmix"] > 0
        total = losses["subject"] + losses["prior"] + 0.5 * losses["unmix"]
        assert losses["loss"].item() == pytest.approx(total.item())
        parameters = [value for group in made.groups() for value in group.parameters.values()]
        gradients = torch.autograd.grad(losses["unmix"], parameters, allow_unused=True)
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


def test_samples_are_what_their_draw_says(base: Base, pair: list[Subject]) -> None:
    settings = recipe(base, prior="generated", prior_images=2, cut_mix=0.6)
    made = task(base, pair, settings)
    alone, mixed = Sample((1,), (2,), 1, "list"), Sample((1, 0), (2, 3), 1, "sides")
    assert torch.equal(made.photo(alone).mean, encode(base, [pair[1].photos[2]]).mean)
    shown = collage(pair[1].photos[2], pair[0].photos[3])
    assert torch.equal(made.photo(mixed).mean, encode(base, [shown]).mean)
    assert made.prompt(alone) == "a photo of a olo robot"
    assert made.prompt(mixed) == "a photo of a olo robot on the left and a sks cat on the right"
    assert made.class_prompt(mixed) == "a photo of a robot on the left and a cat on the right"
    robots, cats = made.inputs[1].prior, made.inputs[0].prior
    assert torch.equal(made.class_image(alone).mean, encode(base, [robots[1]]).mean)
    assert torch.equal(made.class_image(mixed).mean, encode(base, [collage(robots[1], cats[0])]).mean)


def test_class_images_without_a_prompt_go_with_any_sample(base: Base, pair: list[Subject]) -> None:
    settings = recipe(base, prior="generated", prior_images=3, prior_unprompted=0.34, cut_mix=0.6)
    unprompted = gather_unprompted(base, settings)
    assert unprompted is not None
    assert len(unprompted) == 1
    inputs = [gather(base, one, settings) for one in pair]
    made = MultiSubjectTask(base, blank_adapter(base, settings, {}), settings, inputs, unprompted=unprompted)
    for sample in (Sample((1,), (2,), 2, "list"), Sample((1, 0), (2, 3), 2, "sides")):
        assert made.class_prompt(sample) == ""
        assert torch.equal(made.class_image(sample).mean, unprompted.mean)
    assert made.class_prompt(Sample((1,), (2,), 1, "list")) == "a photo of a robot"
    with attached(base.components, made.adapter) as attachment:
        made.attached(attachment)
        assert torch.isfinite(made.step(0, 0)["loss"])


def test_three_subjects_are_mixed_two_at_a_time(base: Base, pair: list[Subject]) -> None:
    three = [*pair, subject(base, "monster-00c20c", "zwx")]
    adapter = train_several(base, three, with_cut_mix(recipe(base, cut_mix=1.0)))
    assert adapter.provenance.facts["trigger"] == "sks cat, olo robot, zwx monster"


def test_an_interrupted_run_resumes_to_the_same_adapter(base: Base, pair: list[Subject], tmp_path: Path) -> None:
    settings = with_cut_mix(recipe(base, "lora", steps=3, schedule="constant"))
    whole = train_several(base, pair, settings)

    def stop(completed: int) -> None:
        if completed == 2:
            signal.raise_signal(signal.SIGTERM)

    output = tmp_path / "both.safetensors"
    with pytest.raises(TrainingInterrupted):
        train_several(base, pair, settings, output=output, callbacks=[stop])
    resumed = train_several(base, pair, settings, output=output, resume=True)
    for name, value in whole.named_parameters().items():
        assert torch.equal(value, resumed.named_parameters()[name]), name


def test_usual_strengths_leave_what_a_recipe_sets(base: Base) -> None:
    plain = recipe(base)
    assert (with_cut_mix(plain, unmix=False).cut_mix, with_cut_mix(plain, unmix=False).unmix_weight) == (0.6, 0.0)
    own = recipe(base, cut_mix=0.3, unmix_weight=0.2)
    assert with_cut_mix(own) == own


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        ({"token": "sks"}, "have the same token 'sks'"),
        ({"token": "SKS"}, "have the same token 'SKS'"),
        ({"token": "xylophonist"}, r"robot-6f3f5f: the token 'xylophonist' is split .*a single token of its own"),
        ({"token": "cat"}, "token 'cat' of robot-6f3f5f is a word of the class 'cat' of cat-1b7ecd"),
        ({"photos": (Image.new("RGB", (64, 64)),)}, r"the same size.*32 x 32 \(cat-1b7ecd\), 64 x 64 \(robot-6f3f5f\)"),
    ],
)
def test_subjects_that_cannot_be_told_apart_are_refused(
    base: Base, pair: list[Subject], second: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadConfig, match=complaint):
        train_several(base, [pair[0], replace(pair[1], **second)], recipe(base))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"unmix_weight": 0.1}, "Unmix loss needs collages"),
        ({"cut_mix": 0.5, "unmix_weight": 0.1, "unmix_layers": ["nothing.*"]}, "no cross-attention layer of"),
        ({"watch": {"every": 5}}, "watch.every=5 works with one subject only"),
        ({"photos": {"masks": True}}, "photos.masks=True works with one subject only"),
        ({"prior": "base"}, "prior=base works with one subject only"),
        ({"cut_mix": 0.5, "prompt": "very " * 30 + "{}"}, "'sks' is not among the first 24 tokens of the prompt"),
    ],
)
def test_recipes_that_cannot_work_are_refused_before_training(
    base: Base, pair: list[Subject], settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadConfig, match=complaint):
        train_several(base, pair, recipe(base, **settings), callbacks=[lambda step: pytest.fail("training started")])


@pytest.mark.parametrize("token", ["of", "on", "A"])
def test_words_of_the_prompts_are_no_tokens(base: Base, pair: list[Subject], token: str) -> None:
    subjects = [pair[0], replace(pair[1], token=token)]
    with pytest.raises(BadConfig, match=f"token '{token}' of robot-6f3f5f is a word of the prompts"):
        train_several(base, subjects, recipe(base))


def test_activations_may_be_computed_again_beside_unmix(base: Base, pair: list[Subject]) -> None:
    settings = with_cut_mix(recipe(base, "lora", cut_mix=1.0, unmix_weight=5.0, steps=2))
    plain = train_several(base, pair, settings)
    again = train_several(base, pair, settings.replace({"memory": {"checkpoint_activations": True}}))
    for name, value in plain.named_parameters().items():
        torch.testing.assert_close(again.named_parameters()[name], value, rtol=1e-3, atol=1e-6)


def test_processes_take_their_rows_of_one_batch(base: Base, pair: list[Subject]) -> None:
    settings = recipe(base, cut_mix=0.6, prior="generated", prior_images=2, unmix_weight=0.5, layers="UNet-CA-KV")
    unet = base.pipeline.unet.config
    unmix = UnmixLoss(base, (unet.in_channels, unet.sample_size, unet.sample_size))
    made = task(base, pair, settings)

    def losses(size: int, processes: Processes) -> dict[str, float]:
        one = MultiSubjectTask(base, made.adapter, settings.replace({"batch_size": size}), made.inputs, unmix)
        one.processes = processes
        with attached(base.components, made.adapter), torch.no_grad():
            return {name: float(value) for name, value in one.step(0, 0).items()}

    whole, parts = losses(4, Processes()), [losses(2, Processes(rank, 2)) for rank in (0, 1)]
    assert parts[0] != parts[1]
    assert {name: (parts[0][name] + parts[1][name]) / 2 for name in whole} == pytest.approx(whole, rel=1e-4)


def test_what_is_put_away_is_brought_back_for_a_collage(base: Base, pair: list[Subject]) -> None:
    made, entered = task(base, pair, recipe(base, cut_mix=0.6)), []

    @contextmanager
    def awake() -> Iterator[None]:
        entered.append("autoencoder")
        yield

    made.awake = awake
    for _ in range(2):
        made.photo(Sample((1, 0), (2, 3), 1, "sides"))
    assert entered == ["autoencoder"], "once a collage, and not for photos"


def test_the_text_encoder_and_autoencoder_are_put_away(
    base: Base, pair: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []
    real = fitting.Offload
    monkeypatch.setattr(fitting, "Offload", lambda *args: kept.append(real(*args)) or kept[0])
    settings = with_cut_mix(recipe(base, layers="UNet-CA-KV", memory={"offload": True}))
    away = []
    train_several(base, pair, settings, callbacks=[lambda step: away.append(kept[0]._is_away)])
    assert kept[0].modules == [base.pipeline.vae, base.pipeline.text_encoder]
    assert away == [True, True]


def test_what_a_run_leaves_behind_does_not_make_it_another(base: Base, pair: list[Subject]) -> None:
    made = task(base, pair, recipe(base))
    assert "log" not in made.identity()["recipe"]


def test_one_subject_is_not_several(base: Base, pair: list[Subject]) -> None:
    with pytest.raises(BadConfig, match="two or more subjects, not 1"):
        check_subjects(base, pair[:1])
    with pytest.raises(BadConfig, match=r"cut_mix=0\.6 needs several subjects; leave it out"):
        train(base, pair[0], with_cut_mix(recipe(base)))


def test_a_step_draws_the_same_samples_every_time(base: Base, pair: list[Subject]) -> None:
    made = task(base, pair, recipe(base, cut_mix=0.6, layers="UNet-CA-KV"))
    with attached(base.components, made.adapter), torch.no_grad():
        assert made.step(3, 0)["loss"] == made.step(3, 0)["loss"]
        assert made.step(3, 0)["loss"] != made.step(4, 0)["loss"]
