"""Plans: exact where the truth is exact, near where it is memory."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import KINDS, save_tiny
from transformers import CLIPTokenizer

from portraitist.adapters import load_adapter
from portraitist.bases import Base, load_base
from portraitist.bases.architectures import write_architecture
from portraitist.bases.examples import get_example
from portraitist.errors import BadConfig
from portraitist.training.blank_adapters import new_adapter
from portraitist.training.dreambooth import DreamBoothTask
from portraitist.training.fitting import loop_config
from portraitist.training.loop.loop import Loop
from portraitist.training.memory import checkpointed
from portraitist.training.personalise import train
from portraitist.training.planning.planning import make_plan
from portraitist.training.planning.tensor_memory import TensorMemory
from portraitist.training.recipes import load_recipe
from portraitist.training.subjects import Subject

SETTINGS = {"steps": 2, "prior": "none", "layers": "attention", "batch_size": 2, "mirror": False}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "krona": {"method_config": {"out_factor": 8, "in_factor": 8}},
    "lidb": {"method_config": {"a": 16, "b": 8}},
    "svdiff": {},
    "full": {},
    "textual-inversion": {"layers": "token-embedding"},
}


@pytest.mark.parametrize("method", METHODS)
def test_numbers_and_file_are_those_of_the_run(method: str, base: Base, tmp_path: Path) -> None:
    overrides = {**SETTINGS, **METHODS[method], "batch_size": 1, "steps": 1}
    plan = make_plan(base.name, method, overrides, 5)
    subject = Subject.from_folder(get_example("cat-1b7ecd").folder, "cat", size=32)
    output = tmp_path / "cat.safetensors"
    train(base, subject, load_recipe(method, base.name, "sd", overrides=overrides), output=output)
    adapter = load_adapter(output)
    assert (plan.parameters, plan.layers) == (adapter.count(), len(adapter.layers))
    assert plan.file == pytest.approx(output.stat().st_size, rel=0.01)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"memory": {"checkpoint_activations": True}},
        {"precision": "bf16"},
        {"prior": "base"},
        {"prior": "generated"},
    ],
    ids=["plain", "checkpointed", "bf16", "prior of the base", "class images"],
)
def test_memory_is_that_of_a_run(base: Base, settings: dict[str, Any]) -> None:
    overrides = {**SETTINGS, "batch_size": 8, **settings}
    plan = make_plan(base.name, "full", overrides, 5)
    measured = tensors_of_a_run(base, overrides)
    assert plan.memory.adapter + plan.memory.activations == pytest.approx(measured, rel=0.15)


def tensors_of_a_run(base: Base, overrides: dict[str, Any]) -> int:
    """Return the bytes of the tensors at the highest point of the second step, without the base's weights."""
    from portraitist.adapters import Attachment
    from portraitist.bases.families import Framing
    from portraitist.training.blank_adapters import blank_adapter
    from portraitist.training.inputs.latents import Latents

    recipe = load_recipe("full", base.name, "sd", overrides=overrides)
    adapter = blank_adapter(base, recipe, {})
    latents = Latents(torch.randn(1, 4, 8, 8), torch.rand(1, 4, 8, 8), (Framing.whole(32, 32),))
    prior = latents if recipe.prior == "generated" else None
    task = DreamBoothTask(base, adapter, recipe, "a photo of sks cat", latents, "a photo of a cat", prior)
    attachment = Attachment(base.components).attach(adapter)
    task.attached(attachment)
    memory = TensorMemory()
    frozen = [each for part in base.components.values() for each in (*part.parameters(), *part.buffers())]
    memory.include(frozen)
    weights = memory.live
    memory.include(list(adapter.named_parameters().values()))

    def forget_the_first_step(step: int) -> None:
        if step == 1:
            memory.reset()

    try:
        with memory, checkpointed(base, recipe.memory):
            Loop(task, loop_config(recipe, base), callbacks=[forget_the_first_step]).run()
    finally:
        attachment.detach()
    return memory.peak - weights


def test_checkpoints_bits_and_offload_save_memory(tiny_base_folder: Path) -> None:
    def memory(bits: int | None = None, **settings: Any) -> Any:
        return make_plan(str(tiny_base_folder), "lora", {**SETTINGS, **settings}, 5, bits=bits).memory

    plain = memory(batch_size=8)
    assert memory(batch_size=8, memory={"checkpoint_activations": True}).activations < 0.8 * plain.activations
    assert memory(batch_size=8, memory={"offload": True}).base < plain.base
    assert memory(4).base < memory(8).base < plain.base
    assert memory(average_decay=0.9).adapter == 1.25 * plain.adapter


def test_photos_are_seen_as_often_as_steps_say(tiny_base_folder: Path) -> None:
    watched = {**SETTINGS, "steps": 50, "watch": {"every": 10}}
    assert make_plan(str(tiny_base_folder), "lora", watched, 5).passes == 25
    with pytest.raises(BadConfig, match="of 1 photos leaves none to train on"):
        make_plan(str(tiny_base_folder), "lora", {**SETTINGS, "watch": {"every": 10, "held_out": 1}}, 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_base_in_half_precision_takes_half(base: Base, dtype: torch.dtype) -> None:
    whole, half = (make_plan(base.name, "lora", SETTINGS, 5, dtype=each).memory for each in (torch.float32, dtype))
    assert half.base == pytest.approx(whole.base / 2, rel=0.01)
    assert half.adapter == whole.adapter
    assert 0 < half.activations < whole.activations


@pytest.mark.parametrize("kind", KINDS)
def test_bases_of_every_family_are_planned(kind: str, clip_tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    folder = save_tiny(kind, clip_tokenizer, tmp_path / kind)
    plan = make_plan(str(folder), "lora", {"steps": 2, "prior": "none", "batch_size": 1}, 5)
    loaded = load_base(folder)
    subject = Subject.from_folder(get_example("cat-1b7ecd").folder, "cat", size=loaded.family.resolution)
    adapter = new_adapter(loaded, [subject], plan.recipe)
    assert (plan.parameters, plan.layers) == (adapter.count(), len(adapter.layers))
    assert plan.memory.peak > plan.memory.base > 0


def test_an_autoencoder_that_overflows_is_planned_in_single_precision(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    write_architecture("sd15", folder)
    file = folder / "vae" / "config.json"
    encoding = []
    for upcast in (False, True):
        file.write_text(json.dumps({**json.loads(file.read_text()), "force_upcast": upcast}))
        plan = make_plan(str(folder), "textual-inversion", {"prior": "none"}, 5, dtype=torch.float16, resolution=64)
        encoding.append(plan.memory.encoding)
    assert encoding[1] > encoding[0]


def test_a_decoded_picture_is_part_of_the_plan(tiny_base_folder: Path) -> None:
    """The autoencoder takes more than a small step of a small adapter, where pictures are drawn at all."""

    def memory(**settings: Any) -> Any:
        return make_plan(str(tiny_base_folder), "textual-inversion", {"batch_size": 1, **settings}, 5).memory

    silent, generated = memory(prior="none"), memory(prior="generated")
    assert silent.sampling == 0
    assert silent.base < generated.sampling <= generated.peak
    watched = memory(prior="none", watch={"every": 5, "subject_encoder": "dino"})
    assert generated.sampling < watched.sampling == memory(prior="none", log={"samples_every": 5}).sampling


def test_unknown_bases_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="neither a folder here nor a hub id"):
        make_plan("sd99", "lora", {}, 5)
    (tmp_path / "one.safetensors").write_bytes(b"")
    with pytest.raises(BadConfig, match="is not a safetensors file"):
        make_plan(str(tmp_path / "one.safetensors"), "lora", {}, 5)
