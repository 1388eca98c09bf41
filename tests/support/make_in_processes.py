"""Make a small toyland in each of several processes, and leave what each one's denoiser has become."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from stand_in_world import stand_in_world, tiny_sections

from portraitist.toyland.config import load_config
from portraitist.toyland.making import Workshop
from portraitist.training.loop.loop import Callback, Loop
from portraitist.training.loop.processes import Processes
from portraitist.training.networks.machine import Machine


def main(folder: Path) -> None:
    """Make all of it; the denoiser's weights of every process go beside it."""
    loops: dict[str, Loop] = {}

    def attend(stage: str, loop: Loop) -> list[Callback]:
        loops[stage] = loop
        return []

    torch.set_num_threads(1)
    config = load_config(changes=tiny_sections())
    Workshop(folder, config, stand_in_world(), Machine(), attend=attend).make()
    weights = {name: value.detach().contiguous() for name, value in loops["denoiser"].parameters.items()}
    save_file(weights, folder / f"process-{Processes.current().rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
