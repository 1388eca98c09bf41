"""How near a plan comes to the memory a run takes: plan in this process, train in another, compare.

python -m benchmarks.planning
python -m benchmarks.planning --only 'sd15*'
"""

import argparse
import fnmatch
import gc
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import PeakMemory, environment, resident_memory
from benchmarks.rendering import render
from benchmarks.results import read_results, write_results
from portraitist.adapters import Attachment
from portraitist.bases import Base
from portraitist.bases.architectures import write_architecture
from portraitist.bases.families import Framing
from portraitist.bases.skeletons import build_skeleton
from portraitist.training.blank_adapters import blank_adapter
from portraitist.training.dreambooth import DreamBoothTask
from portraitist.training.fitting import loop_config
from portraitist.training.inputs.latents import Latents
from portraitist.training.loop.loop import Loop
from portraitist.training.memory import checkpointed
from portraitist.training.planning.planning import make_plan
from portraitist.training.recipes import load_recipe

_SETTINGS = {"steps": 2, "prior": "none", "mirror": False, "precision": "no", "average_decay": 0.0}
_PHOTOS = 4


@dataclass(frozen=True)
class Case:
    """A run to plan and to measure."""

    base: str
    method: str
    pixels: int
    settings: dict[str, Any] = field(default_factory=dict)


_CHECKPOINTED = {"memory": {"checkpoint_activations": True}}
CASES = {
    "small, lora": Case("small", "lora", 256, {"batch_size": 2}),
    "small, lora, checkpointed": Case("small", "lora", 256, {"batch_size": 2, **_CHECKPOINTED}),
    "small, full": Case("small", "full", 256, {"batch_size": 1, "layers": "unet"}),
    "medium, lora": Case("medium", "lora", 128, {"batch_size": 4}),
    "medium, lora, checkpointed": Case("medium", "lora", 128, {"batch_size": 4, **_CHECKPOINTED}),
    "medium, krona": Case("medium", "krona", 128, {"batch_size": 4}),
    "medium, lora, class images": Case("medium", "lora", 128, {"batch_size": 2, "prior": "generated"}),
    "medium, full": Case("medium", "full", 128, {"batch_size": 2, "layers": "unet"}),
    "medium, full, prodigy": Case(
        "medium",
        "full",
        128,
        {"batch_size": 1, "layers": "unet", "learning_rate": 1.0, "optimizer": {"name": "prodigy"}},
    ),
    "sd15, lora": Case("sd15", "lora", 256, {"batch_size": 1}),
    "sd15, lora, checkpointed": Case("sd15", "lora", 256, {"batch_size": 1, **_CHECKPOINTED}),
    "sd15, krona": Case("sd15", "krona", 256, {"batch_size": 1}),
    "sd15, lidb": Case("sd15", "lidb", 256, {"batch_size": 1}),
    "sd15, full": Case("sd15", "full", 256, {"batch_size": 1, "layers": "unet"}),
    "sdxl, krona": Case("sdxl", "krona", 256, {"batch_size": 1}),
}
# Stable Diffusion 1.5 with fewer channels.
_UNETS = {"small": [64, 96, 128, 128], "medium": [128, 256, 384, 384]}


def find_base(name: str, folder: Path) -> str:
    """Return a public architecture's name, or write a smaller one's configurations."""
    if name not in _UNETS:
        return name
    target = folder / name
    write_architecture("sd15", target)
    changes: dict[str, dict[str, Any]] = {
        "unet": {"block_out_channels": _UNETS[name], "cross_attention_dim": 256},
        "text_encoder": {
            "hidden_size": 256,
            "intermediate_size": 1024,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
        },
        "vae": {"block_out_channels": [32, 64, 64, 64]},
    }
    for component, change in changes.items():
        file = target / component / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    return str(target)


def settings_of(case: Case) -> dict[str, Any]:
    """Return a case's settings above the recipe's."""
    return {**_SETTINGS, "learning_rate": 1e-4, **case.settings}


def measure(case: Case, base: str) -> int:
    """Train for a few steps, and return the peak of resident memory above what the libraries take."""
    _warm_up(base)
    start = resident_memory()
    family = build_skeleton(base, device="cpu")
    loaded = Base(base, family)
    recipe = load_recipe(case.method, base, family.name, overrides=settings_of(case))
    adapter = blank_adapter(loaded, recipe, recipe.method_config)
    side = case.pixels // family.pipeline.vae_scale_factor
    picture = torch.randn(1, family.pipeline.vae.config.latent_channels, side, side)
    latents = Latents(picture, 0.1 * picture.abs(), (Framing.whole(case.pixels, case.pixels),))
    task = DreamBoothTask(loaded, adapter, recipe, "a", latents, "a", latents if recipe.prior == "generated" else None)
    task.attached(Attachment(loaded.components).attach(adapter))
    gc.collect()
    with checkpointed(loaded, recipe.memory), PeakMemory(0.003) as peak:
        Loop(task, loop_config(recipe, loaded)).run()
    return peak.highest - start


def _warm_up(base: str) -> None:
    """Load what libraries load at first use: classes of models, kernels, optimisers."""
    build_skeleton(base, device="meta")
    block = torch.nn.Sequential(torch.nn.Conv2d(32, 32, 3), torch.nn.GroupNorm(8, 32), torch.nn.SiLU())
    optimizer = torch.optim.AdamW(block.parameters(), fused=True)
    block(torch.randn(1, 32, 16, 16)).square().mean().backward()
    optimizer.step()


def compare(name: str) -> dict[str, Any]:
    """Plan and measure a case."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        base = find_base(case.base, Path(folder))
        # Without these glibc keeps freed memory, and the process looks larger than what it uses.
        calm = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1", "PORTRAITIST_CACHE": folder}
        command = [sys.executable, "-m", "benchmarks.planning", "--measure", name, base]
        done = subprocess.run(command, env={**os.environ, **calm}, capture_output=True, text=True, check=True)
        plan = make_plan(base, case.method, settings_of(case), _PHOTOS, resolution=case.pixels)
    return {
        "measured": int(done.stdout.split()[-1]),
        "planned": plan.memory.step,
        "base": plan.memory.base,
        "parts": asdict(plan.memory),
        **environment(),
    }


def planning_page(content: dict[str, dict[str, Any]]) -> str:
    """Return docs/results/planning.md."""
    rows = [
        {"name": name, **entry, "error": entry["planned"] / entry["measured"] - 1} for name, entry in content.items()
    ]
    for row in rows:
        row["rest"] = (row["planned"] - row["base"]) / max(row["measured"] - row["base"], 1) - 1
    environments = sorted({f"{row['machine']}, {row['threads']} thread(s), torch {row['torch']}" for row in rows})
    return render("planning.md.j2", rows=rows, environments=environments)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", help="names of cases, with * and ?")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, base = arguments.measure
        print(measure(CASES[name], base))
        return
    content = read_results("planning")
    for name in fnmatch.filter(CASES, arguments.only):
        content[name] = compare(name)
        entry = content[name]
        print(f"{name}: planned {entry['planned'] / 1e6:.0f} MB, measured {entry['measured'] / 1e6:.0f} MB", flush=True)
        ordered = {each: content[each] for each in CASES if each in content}
        write_results("planning", ordered, {"planning.md": planning_page(ordered)})


if __name__ == "__main__":
    main()
