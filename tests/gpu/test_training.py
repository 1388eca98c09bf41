"""Training on a device: the CPU's run of the same seed, resumed to the same end, usable everywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from device_matrix import CONFIGS, METHODS, PRECISIONS, require_close

from portraitist.adapters import Adapter, load_adapter
from portraitist.bases import Base, load_base
from portraitist.bases.examples import get_example
from portraitist.errors import TrainingInterrupted
from portraitist.generation import SamplingConfig, generate
from portraitist.training.loop.interrupts import Stop
from portraitist.training.multi_subject.teaching import train_several, with_cut_mix
from portraitist.training.personalise import train
from portraitist.training.recipes import load_recipe
from portraitist.training.subjects import Subject

pytestmark = pytest.mark.gpu
Load = Callable[[str, torch.dtype], Base]

# Every kind of method: words, low rank, products, spectra, drawn bases, weights; and one of two methods.
TAUGHT = [*METHODS, "textual-inversion+lora"]


def teach(base: Base, subject: Subject, method: str, output: Path | None = None, **options: Any) -> Adapter:
    settings = options.pop("settings", {})
    own = {"steps": 2, "prior": "none", "mirror": False, "batch_size": 2, "schedule": "constant", "warmup_steps": 0}
    if CONFIGS.get(method):
        own["method_config"] = CONFIGS[method]
    recipe = load_recipe(method, "toyland", base.family.name, overrides={**own, **settings})
    return train(base, subject, recipe, output=output, **options)


@pytest.mark.parametrize("method", TAUGHT)
def test_a_seed_gives_the_cpus_run(device: str, load: Load, subject: Subject, method: str) -> None:
    wanted = teach(load("cpu", torch.float32), subject, method)
    found = teach(load(device, torch.float32), subject, method)
    # AdamW's first steps are signs, which rounding turns where a gradient is nothing: most numbers agree, not all.
    for name, value in wanted.named_parameters().items():
        apart = (found.named_parameters()[name].cpu() - value).abs()
        assert float((apart > 1e-2 * value.abs().max()).float().mean()) < 0.02, name


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("method", TAUGHT)
def test_stopped_resumed_saved_and_used(
    device: str, load: Load, subject: Subject, tmp_path: Path, method: str, dtype: torch.dtype
) -> None:
    base, stop, output = load(device, dtype), Stop(), tmp_path / "mine.safetensors"
    through = teach(base, subject, method)

    def interrupt(step: int) -> None:
        if step == 1:
            stop.is_set = True

    with pytest.raises(TrainingInterrupted):
        teach(base, subject, method, output, stop=stop, callbacks=[interrupt])
    resumed = teach(base, subject, method, output, resume=True)
    for name, value in through.named_parameters().items():
        require_close(resumed.named_parameters()[name], value, 1e-6)
    config = SamplingConfig(steps=2)
    pictures = [
        np.asarray(generate(used, ["a photo of sks cat"], adapter, config=config, show_progress=False)[0].image, float)
        for used, adapter in ((base, load_adapter(output)), (load("cpu", torch.float32), load_adapter(output)))
    ]
    assert np.abs(pictures[0] - pictures[1]).mean() < 8


def test_several_subjects_with_collages_and_unmix(device: str, load: Load, subject: Subject) -> None:
    robot = get_example("robot-6f3f5f")
    subjects = [subject, Subject.from_folder(robot.folder, robot.class_noun, "olo", size=32)]
    own = {"steps": 2, "prior": "none", "mirror": False, "batch_size": 2, "cut_mix": 1.0}
    recipe = with_cut_mix(load_recipe("svdiff", "toyland", "sd", overrides=own))
    wanted = train_several(load("cpu", torch.float32), subjects, recipe)
    found = train_several(load(device, torch.float32), subjects, recipe)
    apart = [
        (found.named_parameters()[name].cpu() - value).abs() > 1e-2 * value.abs().max()
        for name, value in wanted.named_parameters().items()
    ]
    assert float(torch.cat([each.flatten() for each in apart]).float().mean()) < 0.02


@pytest.mark.parametrize(
    "settings",
    [
        {"memory": {"checkpoint_activations": True}},
        {"memory": {"offload": True}},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"prior": "base"},
        {"prior": "generated", "prior_images": 2},
        {"average_decay": 0.9},
        {"optimizer": {"name": "prodigy"}, "learning_rate": 1.0, "text_learning_rate": 1.0},
    ],
    ids=lambda settings: "-".join(f"{key}={value}" for key, value in settings.items()),
)
def test_settings_that_touch_the_device(device: str, load: Load, subject: Subject, settings: dict[str, Any]) -> None:
    adapter = teach(load(device, torch.float32), subject, "lora", settings=settings)
    assert all(bool(value.isfinite().all()) for value in adapter.named_parameters().values())
    assert any(float(value.abs().max()) > 0 for name, value in adapter.named_parameters().items() if "up" in name)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("method", ["lora", "krona", "lidb"])
def test_bases_in_fewer_bits(
    device: str, load: Load, subject: Subject, tiny_base_folder: Path, method: str, bits: int
) -> None:
    pytest.importorskip("bitsandbytes")
    found = teach(load_base(tiny_base_folder, device=device, bits=bits), subject, method)
    wanted = teach(load("cpu", torch.float32), subject, method)
    likeness = [
        torch.cosine_similarity(found.named_parameters()[name].cpu().flatten(), value.flatten(), 0)
        for name, value in wanted.named_parameters().items()
        if value.abs().max() > 0
    ]
    assert torch.stack(likeness).mean() > 0.8
