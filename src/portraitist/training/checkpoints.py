"""Checkpoints of a training run: one ``.safetensors`` file with everything needed to continue exactly.

Random state is not stored: every random stream is a function of the seed and the step (`portraitist.randomness`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from portraitist.errors import BadFile
from portraitist.files import write_aside

FORMAT = "portraitist-checkpoint-1"
LAST = "last.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """State of a run after `step` optimiser steps.

    Attributes:
        step: Completed optimiser steps.
        parameters: Trained parameters by name.
        average: Their exponential moving averages by name; empty when not kept.
        optimizer: Optimiser state tensors, keyed ``<parameter name>.<state name>``.
        counters: JSON-able numbers: schedule state, scalar optimiser state, elapsed seconds.
        identity: What the run is (task and settings); a run is only resumed by the same run.
    """

    step: int
    parameters: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    counters: dict[str, Any]
    identity: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the checkpoint aside, then rename it onto `path`."""
        sections = {"parameter": self.parameters, "average": self.average, "optimizer": self.optimizer}
        tensors = {
            f"{section}/{name}": tensor.detach().contiguous().cpu()
            for section, content in sections.items()
            for name, tensor in content.items()
        }
        header = {"step": self.step, "counters": self.counters, "identity": self.identity}
        with write_aside(path) as temporary:
            save_file(tensors, temporary, metadata={"format": FORMAT, "run": json.dumps(header)})

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint.

        Raises:
            BadFile: If the file is missing, damaged or not a checkpoint.
        """
        sections: dict[str, dict[str, Tensor]] = {"parameter": {}, "average": {}, "optimizer": {}}
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise BadFile(f"{path} is not a training checkpoint; give the folder of an interrupted run")
                header = json.loads(metadata["run"])
                for key in file.keys():  # noqa: SIM118 - safe_open is not a mapping
                    section, name = key.split("/", 1)
                    sections[section][name] = file.get_tensor(key)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise BadFile(f"{path} cannot be read as a checkpoint ({error}); delete it to start over") from error
        return cls(
            step=header["step"],
            parameters=sections["parameter"],
            average=sections["average"],
            optimizer=sections["optimizer"],
            counters=header["counters"],
            identity=header["identity"],
        )


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """Flatten an optimiser's per-parameter tensors to ``<parameter name>.<state name>``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{names[index]}.{key}": value
        for index, entries in state.items()
        for key, value in entries.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    """Put tensors written by `optimizer_tensors` back into an optimiser over the same parameters."""
    positions = {name: index for index, name in enumerate(parameters)}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, entry = key.rsplit(".", 1)
        if value.shape == parameters[name].shape:
            # A fused optimiser walks memory, so its state must be laid out as the parameter is.
            value = torch.empty_like(parameters[name], dtype=value.dtype).copy_(value)
        state.setdefault(positions[name], {})[entry] = value
    content = optimizer.state_dict()
    content["state"] = state
    optimizer.load_state_dict(content)
