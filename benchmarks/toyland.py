"""How toyland's larger stages are best trained: settings side by side, each given the same processor time.

    python -m benchmarks.toyland denoiser --folder toyland-run --minutes 10
    python -m benchmarks.toyland autoencoder --folder toyland-run --minutes 10 --arms "as shipped" AdamW

An arm is one network trained from nothing by the clock of the processor, so that other work on the machine costs none
of them anything, its learning rate falling to nothing within its time. The autoencoder is judged by the squared error
of its averaged weights on validation pictures, the denoiser by its averaged weights' min-SNR loss on validation latents
and fixed noise, every timestep alike.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.measuring import environment, keep_freed_memory
from benchmarks.results import read_results, write_results
from portraitist.markdown import table
from portraitist.toyland.autoencoder import reconstruction_error
from portraitist.toyland.config import load_config
from portraitist.toyland.making import Workshop
from portraitist.toyland.worlds import toyland_world
from portraitist.training.loop.loop import Loop
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.settings import loop_config

ARMS = Path(__file__).parent / "tuning" / "toyland.yaml"
_RESULTS = "toyland-training"
_TITLES = {"autoencoder": "squared error", "denoiser": "validation loss"}


def train_arm(stage: str, changes: Mapping[str, Any], folder: Path, minutes: float, machine: Machine) -> dict[str, Any]:
    """Train one arm; return its error, steps, samples and parameters."""
    config = load_config(changes={stage: changes})
    workshop = Workshop(folder, config, toyland_world(), machine)
    settings = getattr(config, stage)
    task: Any = workshop.autoencoder_task() if stage == "autoencoder" else workshop.denoiser_task()
    loop = Loop(task, loop_config(settings, machine, 60 * minutes), description=stage, clock=time.process_time)
    outcome = loop.run()
    loop.keep()
    if stage == "autoencoder":
        error = reconstruction_error(task.model.eval(), workshop.data("validation").pictures, most=200)
    else:
        error = workshop.validate(task)
    return {
        "error": error,
        "steps": outcome.steps,
        "samples": outcome.steps * settings.batch_size,
        "parameters": sum(parameter.numel() for parameter in loop.parameters.values()),
    }


def page(content: Mapping[str, Any]) -> str:
    """Return the page that shows all arms measured so far."""
    lines = ["# Toyland's training: settings at equal processor time", ""]
    for stage, measured in content.items():
        rows = [
            [name, arm["parameters"] / 1e6, arm["steps"], arm["samples"], arm["error"]]
            for name, arm in sorted(measured["arms"].items(), key=lambda item: item[1]["error"])
        ]
        cells = [[n, f"{p:.1f} M", f"{s:,}", f"{m:,}", f"{e:.5f}"] for n, p, s, m, e in rows]
        title = ["setting", "parameters", "steps", "samples", _TITLES[stage]]
        lines += [f"## {stage.capitalize()}", "", f"    {measured['command']}", "", table(title, cells), ""]
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=list(_TITLES))
    parser.add_argument("--folder", type=Path, default=Path("toyland-run"), help="a workshop with the stages before it")
    parser.add_argument("--minutes", type=float, default=10.0, help="processor time of each arm")
    parser.add_argument("--arms", nargs="+", help="some of them only")
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    arms: dict[str, dict[str, Any]] = yaml.safe_load(ARMS.read_text())[arguments.stage]
    content = read_results(_RESULTS)
    command = shlex.join(["python", "-m", "benchmarks.toyland", *sys.argv[1:]])
    section = {"command": command, **environment(), "arms": content.get(arguments.stage, {}).get("arms", {})}
    for name in arguments.arms or arms:
        arm = train_arm(arguments.stage, arms[name], arguments.folder, arguments.minutes, Machine.choose("cpu"))
        section["arms"][name] = arm
        content[arguments.stage] = section
        write_results(_RESULTS, content, {f"{_RESULTS}.md": page(content)})
        print(f"{name}: {arm['error']:.5f} after {arm['steps']} steps", flush=True)


if __name__ == "__main__":
    main()
