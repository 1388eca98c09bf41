"""Whole training steps of a LoRA: this package's loop beside a loop written as diffusers' DreamBooth scripts are.

    python -m benchmarks.loops --architecture sdxl --device cuda --steps 1000

Both train rank 4 on the attention projections of a denoiser with random weights, batch 1, on latents and prompts that
are encoded already: noise, forward, backward, clipping, AdamW, rate. Ours draws on the CPU, so that a seed means the
same everywhere, and reads losses now and then; the script's draws on the device and reads each loss for its bar.
"""

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from torch.nn import functional as F

from benchmarks.contenders import Bench, attention
from benchmarks.measuring import alternate, environment, keep_freed_memory
from benchmarks.results import add_results
from portraitist.adapters import Adapter, Attachment, find_layers
from portraitist.bases import Base
from portraitist.bases.architectures import list_architectures
from portraitist.bases.families import Conditions, Framing
from portraitist.training.dreambooth import DreamBoothTask
from portraitist.training.fitting import loop_config
from portraitist.training.inputs.conditions import PromptBook
from portraitist.training.inputs.latents import Latents
from portraitist.training.loop.loop import Loop
from portraitist.training.recipes import load_recipe

RANK, RATE, DECAY, CLIP = 4, 1e-4, 1e-4, 1.0


class _Encoded(PromptBook):
    """Knows the conditions of every prompt."""

    def __init__(self, base: Base, conditions: Conditions) -> None:
        super().__init__(base, fixed=True)
        self.conditions = conditions

    def _encode_fixed(self, prompt: str) -> Conditions:
        return self.conditions


def ours(bench: Bench, steps: int, precision: str) -> Callable[[], None]:
    """Return so many steps of this package's loop."""
    unet = bench.twin()
    base = Base(bench.architecture, bench.around(unet))
    family = base.family
    specs = find_layers(base.components, family.layer_sets["attention"])
    adapter = Adapter.create("lora", {"rank": RANK}, specs, torch.Generator().manual_seed(0))
    adapter.to(bench.latents.device)
    overrides = {"steps": steps, "batch_size": 1, "accumulate": 1, "learning_rate": RATE, "weight_decay": DECAY}
    fixed = {"prior": "none", "schedule": "constant", "max_gradient_norm": CLIP, "precision": precision}
    recipe = load_recipe("lora", bench.architecture, family.name, overrides={**overrides, **fixed})
    side = family.pipeline.vae_scale_factor * bench.latents.shape[-1]
    photos = Latents(
        bench.latents.float().cpu(), torch.ones_like(bench.latents).float().cpu(), (Framing.whole(side, side),)
    )
    Attachment(base.components).attach(adapter)
    task = DreamBoothTask(base, adapter, recipe, "a photo", photos)
    task.prompts = _Encoded(base, {name: bench.conditions[name] for name in bench.prompted})

    def run() -> None:
        Loop(task, loop_config(recipe, base)).run()

    return run


def as_scripts_do(bench: Bench, steps: int, precision: str) -> Callable[[], None]:
    """Return so many steps of a loop as diffusers' scripts have it, with PEFT's LoRA."""
    unet = bench.twin()
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=attention(bench), init_lora_weights="gaussian")
    inject_adapter_in_model(config, unet)
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.float()
    family, latents, device = bench.around(unet), bench.latents, bench.latents.device

    def run() -> None:
        optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
        generator = torch.Generator().manual_seed(0)
        for _ in range(steps):
            with torch.autocast(device.type, torch.bfloat16, enabled=precision != "no"):
                noise = torch.randn_like(latents)
                timesteps = family.draw_timesteps(1, generator).to(device)
                noised = family.add_noise(latents, noise, timesteps)
                prediction = family.predict(noised, timesteps, bench.conditions)
                loss = F.mse_loss(prediction.float(), family.target(latents, noise, timesteps).float())
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
            loss.detach().item()  # what the script's progress bar shows

    return run


def main() -> None:
    """Run the benchmark from the command line."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="sd15", choices=list_architectures())
    parser.add_argument("--latent", type=int, default=64, help="side of the latents")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--compile", action="store_true", help="compile both denoisers")
    chosen = parser.parse_args()
    bench = Bench(chosen.latent, chosen.device, getattr(torch, chosen.dtype), chosen.architecture, chosen.compile)
    precision = "bf16" if chosen.dtype == "bfloat16" else "no"
    measured = alternate(
        {make.__name__: make(bench, chosen.steps, precision) for make in (ours, as_scripts_do)}, chosen.rounds
    )
    switch = ", compile" if chosen.compile else ""
    name = f"{chosen.architecture}, {chosen.latent}x{chosen.latent}, {chosen.dtype}, {chosen.device}{switch}"
    facts = {"command": shlex.join(["python", "-m", "benchmarks.loops", *sys.argv[1:]]), **environment()}
    times = {key: asdict(value) for key, value in measured.items()}
    add_results("loops", {name: {**facts, "steps": chosen.steps, **times}})


if __name__ == "__main__":
    main()
