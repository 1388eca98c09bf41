"""One subject, end to end on the tiny base: what a recipe may ask for beside the method."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from portraitist.bases import Base
from portraitist.errors import BadConfig, BadPhoto, TrainingInterrupted
from portraitist.evaluation import Preprocessing
from portraitist.training.judging import Encoders
from portraitist.training.outputs import run_folder
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.subjects import Subject
from portraitist.training.views import bucket_size, make_views

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
    return train(
        base, subject, recipe(base, **settings), output=output, resume=resume, encoders=encoders, callbacks=callbacks
    )


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
    lines = [json.loads(line) for line in (run_folder(output) / "log.jsonl").read_text().splitlines()]
    looks = [line for line in lines if "validation" in line]
    assert [line["step"] for line in looks] == [10, 20, 30, 40, 50, 60]
    scored = {line["step"]: line["score"] for line in looks if "score" in line}
    assert list(scored) == [10, 30, 40, 60]
    assert adapter.metadata["training"]["kept_step"] == max(scored, key=scored.__getitem__)
    assert all(
        line["score"] == pytest.approx(line["likeness"] * line["faithfulness"]) for line in looks if "score" in line
    )
    assert (run_folder(output) / "curve.svg").read_text().startswith("<svg")
    assert not (run_folder(output) / "last.safetensors").exists()


def test_overfitting_stops_early_and_the_kept_step_is_not_the_last(base: Base, folder: Path) -> None:
    adapter = teach(base, folder, steps=60, learning_rate=0.3, schedule="constant", warmup_steps=0, watch=WATCH)
    training = adapter.metadata["training"]
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
    assert resumed.metadata["training"]["kept_step"] == through.metadata["training"]["kept_step"]
    for name, value in through.named_parameters().items():
        assert torch.equal(value, resumed.named_parameters()[name]), name


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
    with pytest.raises(BadConfig, match="is no folder"):
        teach(base, folder, steps=2, prior="given", prior_folder=str(tmp_path / "none"))
    with pytest.raises(BadConfig, match="needs prior_folder"):
        recipe(base, prior="given")


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
    assert bucket_size((10_000, 100), 512) == (704, 320)


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
    with pytest.raises(BadConfig, match="leaves none of 5 photos"):
        teach(base, folder, watch={"every": 1, "held_out": 5})
