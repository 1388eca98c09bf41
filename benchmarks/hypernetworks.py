"""A hypernetwork at real size: numbers, parameters, memory and seconds for Stable Diffusion 1.5 with random weights.

    python -m benchmarks.hypernetworks                 numbers and parameters, which need no weights
    python -m benchmarks.hypernetworks --predict       also a prediction, with a ViT-H of random weights
    python -m benchmarks.hypernetworks --train         also a training step of one sample
    python -m benchmarks.hypernetworks --device cuda   on a GPU

Cost does not depend on the weights, so the public configurations are enough.
"""

import argparse
import resource
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from portraitist.adapters import LayerSpec, find_layers
from portraitist.bases import Base
from portraitist.bases.skeletons import build_skeleton
from portraitist.hypernetworks.networks.outputs import Output
from portraitist.hypernetworks.networks.predictor import Predictor
from portraitist.hypernetworks.recipes import load_recipe
from portraitist.hypernetworks.settings import HypernetworkRecipe
from portraitist.training.blank_adapters import resolve_layers

_BASE = "sd15"
# ViT-H/14: patches of 14 pixels of a picture of 224, and the class token.
_VIT = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16}
_TOKENS, _PATCH, _SIDE = 257, 14, 224
_LAYERS = ("attention+text", "lidb-paper")
_MIB = 2**20


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predict", action="store_true", help="measure a prediction")
    parser.add_argument("--train", action="store_true", help="measure a training step")
    parser.add_argument("--batch", type=int, default=1, help="samples of the training step")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--recipe", default="paper")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe)
    base = Base(_BASE, build_skeleton(_BASE, device="meta"))
    for layers in _LAYERS:
        specs = layers_of(base, layers)
        predictor = build(recipe, specs, "meta")
        print(f"{layers:16} {len(specs)} layers, {predictor.output.count:,} numbers, {predictor.count():,} parameters")
    if options.predict or options.train:
        measure(base, recipe, options)


def layers_of(base: Base, layers: str) -> list[LayerSpec]:
    """Return the linear layers of a set."""
    found = find_layers(base.components, resolve_layers(base, layers))
    return [spec for spec in found if spec.kind.value == "linear"]


def build(recipe: HypernetworkRecipe, specs: list[LayerSpec], device: str) -> Predictor:
    """Build the network for ViT-H's tokens and some layers."""
    with torch.device(device):
        output = Output(recipe.output, specs)
        return Predictor(recipe.decoder, {"ViT-H": (_TOKENS, _VIT["hidden_size"])}, output)


def measure(base: Base, recipe: HypernetworkRecipe, options: argparse.Namespace) -> None:
    """Time a prediction, and a training step where it is asked for."""
    device = options.device
    specs = layers_of(base, _LAYERS[1])
    predictor = build(recipe, specs, device)
    if options.predict:
        encoder = vit_h(device)
        pixels = torch.randn(1, 3, _SIDE, _SIDE, device=device)
        with torch.no_grad():
            report("ViT-H, one photo", device, lambda: encoder(pixel_values=pixels).last_hidden_state)
            features = {"ViT-H": encoder(pixel_values=pixels).last_hidden_state[:, None]}
            report("prediction from its features", device, lambda: predictor(features))
        del encoder
    if options.train:
        train(Base(_BASE, build_skeleton(_BASE, device=device)), predictor, options.batch, device)


def vit_h(device: str) -> nn.Module:
    """Return a ViT-H with random weights."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(**_VIT, image_size=_SIDE, patch_size=_PATCH)
    with torch.device(device):
        return CLIPVisionModel(config).eval().requires_grad_(False)


def train(base: Base, predictor: Predictor, batch: int, device: str) -> None:
    """Time a training step: prediction, prompts, denoiser, and the way back."""
    for component in base.components.values():
        component.requires_grad_(False)
    attachment = predictor.output.attach(base.components)
    side = base.family.own_resolution // base.family.resolution_step
    latents = torch.randn(batch, 4, side, side, device=device)
    features = {"ViT-H": torch.randn(batch, 1, _TOKENS, _VIT["hidden_size"], device=device)}
    optimizer = torch.optim.AdamW(predictor.parameters())

    def step() -> Tensor:
        predictor.output.feed(attachment, predictor(features))
        conditions = base.family.encode_prompts(["a sks person"] * batch)
        loss = (base.family.predict(latents, torch.full((batch,), 500, device=device), conditions) - latents).square()
        loss.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    report(f"training step, {batch} of {base.family.own_resolution} pixels", device, step, repeats=2)
    attachment.detach()


def report(what: str, device: str, work: Callable[[], Tensor], repeats: int = 3) -> None:
    """Print the seconds of some work, the best of a few, and the memory at its peak.

    The seconds are those of the clock, and on a CPU those of the processor too, which others cannot take.
    """
    best, processor = min(_seconds(device, work) for _ in range(repeats))
    if device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated(device) / _MIB
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    taken = f"{best:8.3f} s" if device.startswith("cuda") else f"{best:8.3f} s ({processor:.3f} s of the processor)"
    print(f"{what:36} {taken}, at most {peak:,.0f} MiB on {device}, {torch.get_num_threads()} threads")


def _seconds(device: str, work: Callable[[], Tensor]) -> tuple[float, float]:
    began, used = time.perf_counter(), time.process_time()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - began, time.process_time() - used


if __name__ == "__main__":
    main()
