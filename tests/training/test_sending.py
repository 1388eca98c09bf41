"""A training step sends what it needs ahead and reads nothing back, tried on the device that holds no numbers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import KINDS, save_tiny
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPTokenizer

from portraitist.adapters import Adapter, Attachment, Provenance, Space, find_layers
from portraitist.bases import Base
from portraitist.bases.cards import Card
from portraitist.bases.families import Conditions, Framing
from portraitist.bases.skeletons import build_skeleton
from portraitist.training.dreambooth import DreamBoothTask
from portraitist.training.inputs import latents as latents_module
from portraitist.training.inputs.conditions import PromptBook
from portraitist.training.inputs.latents import Latents, near
from portraitist.training.recipes import load_recipe

META = torch.device("meta")


class Sent(TorchDispatchMode):
    """Notes copies from the CPU to another device for which the program waits, and everything that comes back."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waited: list[str] = []

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and args[0].device != result.device:
            ahead = (kwargs or {}).get("non_blocking", False)
            if not ahead or result.device.type == "cpu":
                self.waited.append(f"{tuple(args[0].shape)} to {result.device}")
        return result


class Prompts(PromptBook):
    def _encode_fixed(self, prompt: str) -> Conditions:
        return self.base.family.encode_prompts([prompt])


def task_on_meta(folder: Path, device: torch.device, **settings: Any) -> DreamBoothTask:
    family = build_skeleton(str(folder))
    base = Base(str(folder), family)
    space = Space.of("lora", {"rank": 2}, find_layers(base.components, family.layer_sets["attention"]))
    values: dict[str, dict[str, Tensor]] = {
        name: {key: nn.Parameter(torch.empty(shape, device=META)) for key, shape in shapes.items()}
        for name, shapes in space.shapes.items()
    }
    adapter = Adapter(space, values, Provenance({}))
    recipe = load_recipe("lora", "base", family.name, overrides={"batch_size": 2, "accumulate": 1, **settings})
    side = family.resolution
    size = side // family.pipeline.vae_scale_factor
    shape = (3, family.pipeline.vae.config.latent_channels, size, size)
    weights = torch.ones(3, 1, size, size)
    photos = Latents(torch.ones(shape), torch.ones(shape), (Framing.whole(side, side),) * 3, weights=weights)
    task = DreamBoothTask(base, adapter, recipe, "a photo", photos.to(device), "a photo")
    task.prompts = Prompts(base, fixed=True)
    task.attached(Attachment(base.components).attach(adapter))
    return task


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_waits_for_nothing(kind: str, device: str, clip_tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    folder = save_tiny(kind, clip_tokenizer, tmp_path / kind)
    for settings in ({"min_snr_gamma": 5.0}, {"prior": "base"}):
        task = task_on_meta(folder, torch.device(device), **settings)
        task.step(0, 0)
        with Sent() as seen:
            task.step(1, 0)["loss"].backward()
        assert not seen.waited


def test_latents_lie_on_a_gpu_that_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = Latents(torch.ones(2, 4, 8, 8), torch.ones(2, 4, 8, 8), (Framing.whole(64, 64),) * 2)
    assert pictures.size == 2 * 2 * 4 * 64 * 4
    assert near([pictures], torch.device("cpu")) == [pictures]
    monkeypatch.setattr(Card, "of", lambda device: Card("a card", 2**33))
    for room, place in ((2**30, "meta"), (pictures.size, "cpu")):
        monkeypatch.setattr(latents_module.torch.cuda, "mem_get_info", lambda device, room=room: (room, 2**33))
        (there,) = near([pictures], META)
        assert there.mean.device.type == place
