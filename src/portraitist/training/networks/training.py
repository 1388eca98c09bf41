"""Training one network: a stage of a longer work, resumed where it was, its averaged weights left in place."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from portraitist.errors import BadFile, TrainingInterrupted
from portraitist.files import write_aside
from portraitist.training.loop.checkpoints import Checkpoint
from portraitist.training.loop.files import LAST
from portraitist.training.loop.loop import Callback, Loop, Task
from portraitist.training.loop.processes import Processes
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.reports import add_facts
from portraitist.training.networks.settings import NetworkSettings, loop_config

Attend = Callable[[str, Loop], Sequence[Callback]]
START = "start.safetensors"


def train_network(
    task: Task,
    settings: NetworkSettings,
    folder: Path,
    stage: str,
    machine: Machine,
    minutes: float | None = None,
    attend: Attend | None = None,
) -> Loop:
    """Train a stage's network to its end; an interrupted run goes on, and so does a finished one that is given more.

    Args:
        task: What is trained; afterwards its parameters are the averaged ones.
        settings: How.
        folder: Checkpoints and log go into its folder `stage`, facts into its report.
        stage: Name of the stage.
        machine: On what.
        minutes: Time it may take from now on, instead of the settings' steps.
        attend: Given the stage and its loop before it runs, returns what is called after each step.

    Returns:
        The loop, after its end.

    Raises:
        TrainingInterrupted: On Ctrl-C or a termination signal, after a checkpoint was written.
        TrainingDiverged: When a loss or gradient is not finite.
    """
    place = folder / stage
    before = trained_seconds(place)
    config = loop_config(settings, machine, None if minutes is None else before + 60 * minutes)
    loop = Loop(task, config, place, description=stage)
    if (place / START).exists() and not (place / LAST).exists():
        _start_from(place / START, loop.parameters)
        loop.restart_average()
    loop.callbacks = attend(stage, loop) if attend is not None else ()
    try:
        with machine.at_speed():
            outcome = loop.run(resume=True)
    except TrainingInterrupted as error:
        raise TrainingInterrupted(error.place, error.folder, "run the same command to continue") from None
    loop.keep()
    if Processes.current().is_first:
        samples = outcome.steps * settings.batch_size
        facts = {"steps": outcome.steps, "samples": samples, "seconds": round(outcome.elapsed), **outcome.losses}
        add_facts(folder, stage, facts)
    return loop


def has_weights(place: Path) -> bool:
    """Say whether a stage has weights: a checkpoint, or what it is to start from."""
    return any((place / name).exists() for name in (LAST, START))


def trained_weights(place: Path) -> tuple[dict[str, Tensor], int]:
    """Return the averaged weights of a stage's last checkpoint, or those it was to start from, and their step.

    Raises:
        BadFile: If it has neither.
    """
    if (place / LAST).exists():
        checkpoint = Checkpoint.load(place / LAST)
        return checkpoint.average or checkpoint.parameters, checkpoint.step
    if (place / START).exists():
        return {name: value.float() for name, value in load_file(place / START).items()}, 0
    raise BadFile(f"{place} holds no checkpoint; train the stage {place.name} first")


def write_start(place: Path, weights: dict[str, Tensor]) -> None:
    """Leave weights for a stage to start from, if it has no checkpoint of its own."""
    with write_aside(place / START) as temporary:
        save_file(weights, temporary)


def trained_seconds(place: Path) -> float:
    """Return the seconds that a stage was trained for so far, by its last checkpoint."""
    if not (place / LAST).exists():
        return 0.0
    counters = Checkpoint.load(place / LAST).counters
    return float(counters.get("elapsed", counters["seconds"]))


def _start_from(path: Path, parameters: dict[str, torch.nn.Parameter]) -> None:
    """Copy the weights that a stage starts from."""
    weights = load_file(path)
    if weights.keys() != parameters.keys() or any(weights[n].shape != p.shape for n, p in parameters.items()):
        raise BadFile(f"the weights in {path} belong to a different network than configured; delete it to start over")
    for name, parameter in parameters.items():
        parameter.data.copy_(weights[name])
