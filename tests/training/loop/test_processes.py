"""Several processes on one adapter: those `accelerate launch` starts learn what one with the whole batch does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image

from portraitist.adapters import load_adapter
from portraitist.bases import Base
from portraitist.bases.examples import get_example
from portraitist.training.personalise import train
from portraitist.training.recipes import load_recipe
from portraitist.training.subjects import Subject

# Without a GPU this launches processes on the CPU; with --cpu there would be one only.
LAUNCH = (sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2")
QUIET = ("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no")
SETTINGS = {"steps": 3, "prior": "base", "layers": "attention", "accumulate": 2, "learning_rate": 0.01}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_two_processes_learn_what_one_with_twice_the_batch_does(
    base: Base, tiny_base_folder: Path, tmp_path: Path
) -> None:
    photos = get_example("cat-1b7ecd").folder
    output = tmp_path / "two.safetensors"
    own = {**SETTINGS, "batch_size": 1, "watch.every": 3, "log.samples_every": 3, "log.sampling_steps": 1}
    settings = [word for name, value in own.items() for word in ("--set", f"{name}={value}")]
    command = ["train", str(photos), "--class", "cat", "--base", str(tiny_base_folder), "-o", str(output)]
    launched = [
        *LAUNCH,
        *QUIET,
        "--main_process_port",
        str(free_port()),
        "-m",
        "portraitist",
        *command,
        *settings,
        "--device",
        "cpu",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(launched, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("written") == 1, "one process speaks for all"
    two = load_adapter(output)

    recipe = load_recipe(
        "lora", base.name, base.family.name, overrides={**SETTINGS, "batch_size": 2, "watch": {"every": 3}}
    )
    one = train(base, Subject.from_folder(photos, "cat", size=base.family.resolution), recipe)
    apart = torch.cat(
        [(value - two.named_parameters()[name]).flatten() for name, value in one.named_parameters().items()]
    )
    # Adam steps by the learning rate also where a gradient is nothing but rounding.
    assert apart.abs().mean() < 1e-5
    assert apart.abs().max() < 1e-3
    assert any(value.abs().max() > 1e-3 for name, value in one.named_parameters().items() if name.endswith("up"))
    folder = tmp_path / "two.safetensors.run"
    assert (folder / "curve.svg").exists()
    with Image.open(folder / "samples-000003.png") as sheet:
        assert sheet.width > 32
