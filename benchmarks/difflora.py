"""DiffLoRA at real size: LoRAs of rank 4 on the attention of SDXL, with random weights.

    python -m benchmarks.difflora                      numbers and parameters, which need no memory
    python -m benchmarks.difflora --predict            also a prediction, and that it opens as a LoRA of SDXL
    python -m benchmarks.difflora --train              also a training step of the autoencoder and of the generator
    python -m benchmarks.difflora --device cuda        on a GPU

The generator with its optimiser needs 10 GB, the autoencoder's step 3 GB. Cost does not depend on the weights.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.hypernetworks import layers_of, report
from portraitist.adapters import LayerSpec, Provenance
from portraitist.bases import Base
from portraitist.bases.skeletons import build_skeleton
from portraitist.exchange.exporting import export
from portraitist.exchange.loading import load_any
from portraitist.hypernetworks.difflora.losses import reconstruction_losses
from portraitist.hypernetworks.difflora.predictor import WeightGenerator
from portraitist.hypernetworks.difflora.settings import DiffloraRecipe
from portraitist.hypernetworks.networks.contract import Wish
from portraitist.hypernetworks.systems import get_system

_BASE, _RANK = "sdxl", 4
# What an ArcFace network and a ViT-H say of a photo.
_SHAPES = {"face": (1, 512), "image": (1, 1024)}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predict", action="store_true", help="measure a prediction")
    parser.add_argument("--train", action="store_true", help="measure training steps")
    parser.add_argument("--batch", type=int, default=1, help="LoRAs of a training step")
    parser.add_argument("--sampling-steps", type=int, default=2, help="steps of the prediction that is measured")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    recipe: DiffloraRecipe = get_system("difflora").load_recipe(
        "paper", {"sight": {"encoders": list(_SHAPES)}, "weights": {"rank": _RANK, "shared_a": False}}
    )
    base = Base(_BASE, build_skeleton(_BASE, device="meta"))
    specs = layers_of(base, "attention")
    show_counts(build(recipe, specs, "meta"), len(specs))
    if not options.predict and not options.train:
        return
    network = build(recipe, specs, options.device)
    features = {name: torch.randn(options.batch, 1, *shape, device=options.device) for name, shape in _SHAPES.items()}
    if options.predict:
        predict(network, base, features, options.sampling_steps, options.device)
    if options.train:
        train_autoencoder(network, recipe, options.batch, options.device)
        train_generator(network, features, options.batch, options.device)


def build(recipe: DiffloraRecipe, specs: list[LayerSpec], device: str) -> WeightGenerator:
    """Build the network for some layers."""
    with torch.device(device):
        return WeightGenerator(recipe, _SHAPES, specs)


def show_counts(network: WeightGenerator, layers: int) -> None:
    """Print numbers and parameters."""
    codec, generator = network.codec, network.generator
    print(f"{_BASE}, attention, rank {_RANK}: {layers} layers, {network.numbers:,} numbers")
    print(f"autoencoder: {_count(codec):,} parameters; latent {codec.size:,}, ratio {codec.ratio:.2f} : 1")
    print(f"generator: {_count(generator):,} parameters, {_count(generator.transformer):,} of them the transformer's")


def predict(
    network: WeightGenerator, base: Base, features: dict[str, Tensor], sampling_steps: int, device: str
) -> None:
    """Time a prediction, write it for diffusers, and read it again with SDXL's own layers looked up."""
    one = {name: values[:1] for name, values in features.items()}
    wish = Wish(sampling_steps=sampling_steps)
    with torch.no_grad():
        report(f"prediction, {sampling_steps} sampling steps", device, lambda: network.predict(one, wish), repeats=1)
        report("  of which decoding", device, lambda: network.decode(network.noise(1, 0)), repeats=1)
        adapter = network.adapter(network.predict(one, Wish(sampling_steps=1))[0], Provenance({})).adapter
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prediction.safetensors"
        written = export(adapter, file, "diffusers", base.components)
        again = load_any(file, base.components)
        same = torch.equal(again.space.flatten(again.values), adapter.space.flatten(adapter.values))
        print(
            f"for diffusers: {file.stat().st_size / 2**20:.1f} MiB, exact {written.exact}, read again the same {same}"
        )
        opened = open_in_diffusers(file, base)
        print(f"stock diffusers puts it on {opened} layers of its UNet of SDXL")


def open_in_diffusers(file: Path, base: Base) -> int:
    """Let diffusers load a file into SDXL's UNet without weights; return how many layers it changes."""
    from peft.tuners.lora import LoraLayer
    from safetensors.torch import load_file

    unet = base.components["unet"]
    unet.load_lora_adapter(load_file(file), prefix="unet", low_cpu_mem_usage=True)  # type: ignore[operator]
    return sum(isinstance(module, LoraLayer) for module in unet.modules())


def train_autoencoder(network: WeightGenerator, recipe: DiffloraRecipe, batch: int, device: str) -> None:
    """Time a training step of the autoencoder."""
    standard = torch.randn(batch, network.numbers, device=device)
    optimizer = torch.optim.AdamW(network.codec.parameters())

    def step() -> Tensor:
        restored = network.codec.decode(network.codec.encode(standard))
        losses = reconstruction_losses(recipe.autoencoder, network.layout, network.standard, restored, standard)
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        return losses["loss"]

    report(f"autoencoder, a step of {batch}", device, step, repeats=1)


def train_generator(network: WeightGenerator, features: dict[str, Tensor], batch: int, device: str) -> None:
    """Time a training step of the generator."""
    latents, unknown = torch.randn(batch, network.codec.size, device=device), torch.zeros(batch, dtype=torch.bool)
    optimizer = torch.optim.AdamW(network.generator.parameters(), foreach=False)

    def step() -> Tensor:
        errors = network.generator.errors(latents, features, unknown.to(device), torch.Generator().manual_seed(0))
        errors.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        return errors

    report(f"generator, a step of {batch}", device, step, repeats=1)


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


if __name__ == "__main__":
    main()
