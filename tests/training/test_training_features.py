"""One subject, end to end on the tiny base: what a recipe may ask for beside the method."""

import codecs
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from portraitist.adapters import attached, load_adapter
from portraitist.bases import Base, load_base
from portraitist.bases.families import Framing
from portraitist.errors import BadConfig, BadPhoto, TrainingDiverged, TrainingInterrupted
from portraitist.evaluation import Preprocessing
from portraitist.generation.sheets import caption_sheet
from portraitist.training.fitting import loop_config
from portraitist.training.inputs.companions import missing_companions
from portraitist.training.inputs.conditions import PromptBook
from portraitist.training.inputs.latents import encode_views
from portraitist.training.inputs.priors import prior_images
from portraitist.training.inputs.views import View, bucket_size, make_views
from portraitist.training.memory import pictures_at_once
from portraitist.training.outputs import run_folder
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.recipes.groups import PhotoSettings
from portraitist.training.subjects import Subject
from portraitist.training.watching.judging import Encoders, sample_pictures

SIZE = 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with five photos of a red disc, of different shapes."""
    rng = np.random.default_rng(0)
    target = tmp_path / "disc"
    target.mkdir()
    for number, (width, height) in enumerate([(48, 48), (64, 40), (40, 64), (60, 42), (48, 50)]):
        photo = Image.fromarray(rng.integers(0, 60, (height, width, 3), dtype=np.uint8))
        ImageDraw.Draw(photo).ellipse((10, 8, 34, 32), fill=(220, 30, 30))
        photo.save(target / f"{number}.png")
    return target


def recipe(base: Base, steps: int = 6, **settings: Any) -> Recipe:
    own = {"steps": steps, "prior": "none", "layers": "attention", "batch_size": 2, "mirror": False}
    return load_recipe("lora", "toyland", base.family.name, overrides={**own, **settings})


def teach(base: Base, folder: Path, output: Path | None = None, resume: bool = False, **settings: Any) -> Any:
    subject = Subject.from_folder(folder, "cat", size=SIZE)
    encoders = settings.pop("encoders", None)
    callbacks = settings.pop("callbacks", ())
    own = {"encoders": encoders, "callbacks": callbacks}
    return train(base, subject, recipe(base, **settings), output=output, resume=resume, **own)


@dataclass(frozen=True)
class Colours:
    """Embeds pictures by mean colour, and texts by their length."""

    name: str = "colours"
    revision: str = "0"
    preprocessing: Preprocessing = field(
        default_factory=lambda: Preprocessing(8, 8, "bilinear", (0.5,) * 3, (0.5,) * 3)
    )
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        return pixels.mean((-1, -2)) + torch.tensor([1.0, 0.5, 0.2])

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[1.0, len(text) / 40, 0.3] for text in texts])


WATCH = {"every": 2, "time_share": 1.0, "samples": 4, "sampling_steps": 1, "patience": 2}


def test_a_watched_run_keeps_its_best_step_and_draws_its_curve(base: Base, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    encoders = Encoders(Colours(), Colours())
    watch = {"every": 10, "sampling_steps": 1, "stop": False}
    adapter = teach(base, folder, output, steps=60, batch_size=8, watch=watch, encoders=encoders)
    log = (run_folder(output) / "log.jsonl").read_text().splitlines()
    measured = [line for line in map(json.loads, log) if "validation" in line]
    assert [line["step"] for line in measured] == [10, 20, 30, 40, 50, 60]
    judged = [line for line in measured if "score" in line]
    scored = {line["step"]: line["score"] for line in judged}
    assert list(scored) == [10, 30, 40, 60]
    assert adapter.provenance.facts["training"]["kept_step"] == max(scored, key=scored.__getitem__)
    assert all(line["score"] == pytest.approx(line["likeness"] * line["faithfulness"]) for line in judged)
    assert (run_folder(output) / "curve.svg").read_text().startswith("<svg")
    assert not (run_folder(output) / "last.safetensors").exists()


def test_overfitting_stops_early_and_the_kept_step_is_not_the_last(base: Base, folder: Path) -> None:
    adapter = teach(base, folder, steps=60, learning_rate=0.3, schedule="constant", warmup_steps=0, watch=WATCH)
    training = adapter.provenance.facts["training"]
    assert training["steps"] < 60
    assert training["kept_step"] < training["steps"]


def test_a_watched_run_resumes_bit_identically(base: Base, folder: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 8, "watch": WATCH, "photos": {"crops": 1, "buckets": True}, "prior": "base"}
    through = teach(base, folder, **settings)

    def interrupt(step: int) -> None:
        if step == 5:
            raise_signal()

    output = tmp_path / "mine.safetensors"
    with pytest.raises(TrainingInterrupted):
        teach(base, folder, output, callbacks=[interrupt], **settings)
    resumed = teach(base, folder, output, resume=True, **settings)
    assert resumed.provenance.facts["training"]["kept_step"] == through.provenance.facts["training"]["kept_step"]
    for name, value in through.named_parameters().items():
        assert torch.equal(value, resumed.named_parameters()[name]), name


def test_a_run_is_not_resumed_with_other_captions_masks_or_base(
    base: Base, folder: Path, tmp_path: Path, tiny_base_folder: Path
) -> None:
    settings: dict[str, Any] = {"steps": 3, "photos": {"captions": True, "masks": True}}
    output = tmp_path / "mine.safetensors"
    caption, mask = folder / "0.txt", folder / "0.mask.png"

    def companions(text: str, width: int) -> None:
        caption.write_text(text)
        picture = Image.new("L", (48, 48))
        picture.paste(255, (0, 0, width, 48))
        picture.save(mask)

    companions("{} in a room", 24)
    with pytest.raises(TrainingInterrupted):
        teach(base, folder, output, callbacks=[lambda _: raise_signal()], **settings)
    for text, width in (("{} on the moon", 24), ("{} in a room", 12)):
        companions(text, width)
        with pytest.raises(BadConfig, match=r"task\.photos_captions_masks was"):
            teach(base, folder, output, resume=True, **settings)
    companions("{} in a room", 24)
    with pytest.raises(BadConfig, match=r"holds another run: task\.base"):
        teach(load_base(tiny_base_folder, dtype=torch.bfloat16), folder, output, resume=True, **settings)
    assert teach(base, folder, output, resume=True, **settings).provenance.facts["training"]["steps"] == 3


def test_a_run_that_diverges_leaves_an_adapter_that_can_be_used(base: Base, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    settings: dict[str, Any] = {"steps": 40, "schedule": "constant", "warmup_steps": 0, "learning_rate": 1e15}
    with pytest.raises(TrainingDiverged, match=r"adapter from step \d+ is in .*step-\d+\.safetensors\. Try") as caught:
        teach(base, folder, output, **settings)
    (kept,) = run_folder(output).glob("step-*.safetensors")
    assert str(kept) in str(caught.value)
    assert all(value.isfinite().all() for value in load_adapter(kept).named_parameters().values())


def test_a_base_in_float16_trains_with_scaled_gradients(base: Base, tiny_base_folder: Path) -> None:
    for dtype, scaled in ((torch.float16, True), (torch.bfloat16, False), (torch.float32, False)):
        loaded = load_base(tiny_base_folder, dtype=dtype)
        assert loop_config(recipe(base), loaded).scale_gradients is scaled


def test_cached_prompts_do_not_depend_on_autocast(base: Base, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PORTRAITIST_CACHE", str(tmp_path))
    with torch.autocast("cpu", torch.bfloat16):
        PromptBook(base, fixed=True).encode(["a photo of a cat"])
    with torch.no_grad():
        wanted = base.family.encode_prompts(["a photo of a cat"])
    for name, value in PromptBook(base, fixed=True).encode(["a photo of a  cat"]).items():
        assert torch.equal(value, wanted[name])
    assert len(list((tmp_path / "prompts").iterdir())) == 1  # what reads the same is kept once


def raise_signal() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    "settings",
    [
        {"noise_offset": 0.1},
        {"memory": {"checkpoint_activations": True, "offload": True}},
        {"precision": "bf16"},
        {"photos": {"crops": 2}, "mirror": True},
        {"optimizer": {"name": "prodigy"}, "learning_rate": 1.0, "text_learning_rate": 1.0},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_every_setting_trains_and_leaves_the_base_as_found(base: Base, folder: Path, settings: dict[str, Any]) -> None:
    before = {name: value.clone() for name, value in base.family.denoiser.state_dict().items()}
    adapter = teach(base, folder, steps=2, **settings)
    assert all(value.isfinite().all() for value in adapter.named_parameters().values())
    after = base.family.denoiser.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_checkpointed_activations_change_nothing(base: Base, folder: Path) -> None:
    plain = teach(base, folder, steps=2)
    saving = teach(base, folder, steps=2, memory={"checkpoint_activations": True})
    for name, value in plain.named_parameters().items():
        assert torch.allclose(value, saving.named_parameters()[name], atol=1e-6)


def test_given_class_images_are_used_and_missing_ones_named(base: Base, folder: Path, tmp_path: Path) -> None:
    given = teach(base, folder, steps=2, prior="given", prior_folder=str(folder))
    without = teach(base, folder, steps=2)
    names = given.named_parameters()
    assert any(not torch.equal(value, names[name]) for name, value in without.named_parameters().items())
    with pytest.raises(BadConfig, match="is not a folder"):
        teach(base, folder, steps=2, prior="given", prior_folder=str(tmp_path / "none"))
    with pytest.raises(BadConfig, match="needs prior_folder"):
        recipe(base, prior="given")


def test_class_images_are_drawn_as_many_at_once_as_are_trained(
    base: Base, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTRAITIST_CACHE", str(tmp_path))
    drawn, decoded = [], []
    unet, vae = base.pipeline.unet, base.pipeline.vae
    predict, decode = unet.forward, vae.decoder.forward
    monkeypatch.setattr(unet, "forward", lambda x, *args, **rest: (drawn.append(len(x)), predict(x, *args, **rest))[1])
    monkeypatch.setattr(vae.decoder, "forward", lambda z, *args: (decoded.append(len(z)), decode(z, *args))[1])
    prior_images(base, "a photo of a cat", 3, recipe(base, batch_size=2))
    assert set(drawn) == {4, 2}  # with and without the prompt
    assert decoded == [1, 1, 1]
    assert not vae.use_slicing
    shipped = replace(base, name="toyland")
    assert pictures_at_once(shipped, recipe(base)) == 8


def test_the_prior_of_the_base_holds_the_class_still(base: Base, folder: Path, tmp_path: Path) -> None:
    """With a heavy prior the prediction for the class prompt moves less than without."""
    logs = {}
    for weight in (0.0, 30.0):
        output = tmp_path / f"{weight}.safetensors"
        settings = {"steps": 25, "learning_rate": 1e-2, "schedule": "constant", "prior": "base", "prior_weight": weight}
        teach(base, folder, output, log={"samples_every": 25, "sampling_steps": 1}, **settings)
        lines = (run_folder(output) / "log.jsonl").read_text().splitlines()
        logs[weight] = json.loads(lines[-1])["prior"]
        assert (run_folder(output) / "samples-000025.png").exists()
    assert logs[30.0] < 0.7 * logs[0.0]


def test_sheets_show_the_averaged_adapter_that_is_kept(base: Base, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    log = {"samples_every": 3, "sampling_steps": 2}
    averaged = teach(base, folder, output, steps=3, average_decay=0.99, learning_rate=0.1, warmup_steps=0, log=log)
    settings = recipe(base, 3)
    with attached(base.components, averaged):
        shown = sample_pictures(base, settings, ["a photo of a sks cat"], 2)
    with Image.open(run_folder(output) / "samples-000003.png") as sheet:
        assert np.array_equal(np.asarray(sheet), np.asarray(caption_sheet([(shown[0], "a photo of a sks cat")])))


def test_tensorboard_gets_the_numbers(base: Base, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    teach(base, folder, output, steps=2, log={"trackers": ["tensorboard"]})
    assert list(run_folder(output).rglob("events.out.tfevents.*"))
    with pytest.raises(BadConfig, match="no tracker is named 'tensorbord'"):
        teach(base, folder, log={"trackers": ["tensorbord"]})


# Views


def views(folder: Path, base: Base, **photos: Any) -> list[Any]:
    subject = Subject.from_folder(folder, "cat", size=SIZE)
    return make_views(subject, recipe(base, photos=photos), range(len(subject.photos)), "a photo of sks cat")


def test_buckets_keep_shapes_and_area(folder: Path, base: Base) -> None:
    sizes = [view.picture.size for view in views(folder, base, buckets=True)]
    assert sizes[0] == (32, 32)
    assert sizes[1][0] > sizes[1][1]
    assert sizes[2][0] < sizes[2][1]
    assert all(16 * 16 < width * height <= SIZE * SIZE for width, height in sizes)
    assert bucket_size((4000, 3000), 1024) == (1152, 896)
    assert bucket_size((10_000, 100), 512) == (640, 320)


@pytest.mark.parametrize("side", [512, 768, 1024])
def test_buckets_are_near_in_shape_either_way_up(side: int) -> None:
    for width, height in ((1, 1), (5, 4), (4, 3), (3, 2), (16, 9), (2, 1)):
        bucket = bucket_size((width * 1000, height * 1000), side)
        assert bucket_size((height * 1000, width * 1000), side) == bucket[::-1]
        shape = bucket[0] / bucket[1] / (width / height)
        assert min(shape, 1 / shape) > 0.93
        assert 0.75 <= bucket[0] * bucket[1] / side**2 <= 1


def test_captions_are_read_as_they_are_written(folder: Path, base: Base) -> None:
    (folder / "0.txt").write_bytes(codecs.BOM_UTF8 + b"sks, sleeping")
    (folder / "1.caption").write_text("(Sks) cat asleep")
    assert [view.prompt for view in views(folder, base, captions=True)][:2] == ["sks, sleeping", "(Sks) cat asleep"]


def test_companions_that_are_nowhere_are_said(folder: Path) -> None:
    subject = Subject.from_folder(folder, "cat", size=SIZE)
    wanted = PhotoSettings(captions=True, masks=True)
    assert missing_companions(subject, PhotoSettings()) == []
    first, second = missing_companions(subject, wanted)
    assert "photos.captions is set but disc has no captions" in first
    assert "photos.masks is set but disc has no masks" in second


def far_left(folder: Path, number: int = 0) -> Path:
    """Return a folder with a wide photo whose subject, and its mask, is at the left."""
    target = folder.with_name(f"left-{number}")
    target.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 120, 3), dtype=np.uint8)).save(target / "a.png")
    mask = Image.new("L", (120, 60))
    mask.paste(255, (2, 10, 22, 40))
    mask.save(target / "a.mask.png")
    return target


def test_cuts_of_masked_photos_show_the_subject(folder: Path, base: Base) -> None:
    for view in views(far_left(folder), base, masks=True, crops=8):
        assert view.mask is not None
        # 20 x 30 of at most 60 x 60 pixels.
        assert 0.16 < (np.asarray(view.mask) > 128).mean() < 0.35


def test_views_without_the_subject_count_little(base: Base) -> None:
    picture, framing = Image.new("RGB", (SIZE, SIZE)), Framing.whole(SIZE, SIZE)
    half = Image.new("L", (SIZE, SIZE))
    half.paste(255, (0, 0, SIZE // 2, SIZE))
    made = [View(picture, framing, "a", mask) for mask in (half, Image.new("L", (SIZE, SIZE)))]
    (latents,) = encode_views(base, made, mask_floor=0.1)
    assert latents.weights is not None
    assert latents.weights.mean().item() == pytest.approx(1)
    assert latents.weights[1].max().item() == pytest.approx(0.1 / 0.325)
    assert latents.weights[0].max().item() == pytest.approx(1 / 0.325)


def test_mirrored_crops_are_told_apart_from_where_they_were_cut(folder: Path, base: Base) -> None:
    subject = Subject.from_folder(folder, "cat", size=SIZE)
    own = recipe(base, photos={"crops": 2}, mirror=True)
    made = make_views(subject, own, [1], "a photo of sks cat")  # 64 x 40
    for view, mirrored in zip(made[:3], made[3:], strict=True):
        assert view.right is not None
        assert mirrored.framing.crop == (view.framing.crop[0], view.right)
        assert mirrored.right == view.framing.crop[1]
        assert view.framing.crop[1] + SIZE + view.right >= 64 * SIZE / 40 - 2


def test_the_validation_loss_knows_captions(folder: Path, base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (folder / f"{number}.txt").write_text("{} number " + str(number))
    seen: list[str] = []
    real = PromptBook.encode
    monkeypatch.setattr(PromptBook, "encode", lambda book, prompts: (seen.extend(prompts), real(book, prompts))[1])
    watch = {"every": 1, "time_share": 1.0, "held_out": 1}
    teach(base, folder, steps=1, photos={"captions": True}, watch=watch)
    assert {f"sks cat number {number}" for number in range(5)} <= set(seen)


def test_captions_beside_photos_name_the_subject(folder: Path, base: Base) -> None:
    for name, text in {"0": "a {} in the fog", "1": "sks cat asleep", "2": "on a red sofa", "3": " "}.items():
        (folder / f"{name}.txt").write_text(text)
    prompts = [view.prompt for view in views(folder, base, captions=True)]
    assert prompts == [
        "a sks cat in the fog",
        "sks cat asleep",
        "a photo of sks cat, on a red sofa",
        "a photo of sks cat",
        "a photo of sks cat",
    ]


def test_masks_are_cut_like_their_photos_and_wrong_ones_refused(folder: Path, base: Base) -> None:
    for photo in sorted(folder.glob("?.png")):
        with Image.open(photo) as image:
            red = np.asarray(image)[..., 0] > 128
        Image.fromarray((red * 255).astype(np.uint8)).save(folder / f"{photo.stem}.mask.png")
    for view in views(folder, base, masks=True, crops=2):
        red = np.asarray(view.picture).astype(int)[..., 0] > 128
        assert np.mean(red == (np.asarray(view.mask) > 128)) > 0.97
    teach(base, folder, steps=2, photos={"masks": True})
    Image.new("L", (9, 9), 255).save(folder / "1.mask.png")
    with pytest.raises(BadPhoto, match=r"1\.mask\.png is 9 x 9, but 1\.png is 64 x 40"):
        views(folder, base, masks=True)
    Image.new("L", (64, 40), 0).save(folder / "1.mask.png")
    with pytest.raises(BadPhoto, match="black all over"):
        views(folder, base, masks=True)


def test_a_photo_held_out_is_not_trained_on(base: Base, folder: Path) -> None:
    with pytest.raises(BadConfig, match="of 5 photos leaves none to train on"):
        teach(base, folder, watch={"every": 1, "held_out": 5})
