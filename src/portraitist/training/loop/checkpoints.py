"""Checkpoints of a training run: one ``.safetensors`` file with everything needed to continue exactly.

Random state is not stored: every random stream is a function of the seed and the step (`portraitist.randomness`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from portraitist.cache import checksum
from portraitist.errors import BadFile
from portraitist.files import write_aside

FORMAT = "portraitist-checkpoint-1"
_CHECKSUM = "checksum"
# What the header holds beside the step.
_HEADER = ("counters", "identity")


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
        task: What the task remembers beside its parameters; empty for most.
    """

    step: int
    parameters: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    counters: dict[str, Any]
    identity: dict[str, Any]
    task: Mapping[str, Tensor] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the checkpoint aside, then rename it onto `path`.

        Raises:
            UnwritableFolder: If it cannot be written, as when the disk is full.
        """
        sections = {"parameter": self.parameters, "average": self.average, "optimizer": self.optimizer}
        tensors = {
            f"{section}/{name}": tensor.detach().contiguous().cpu()
            for section, content in sections.items()
            for name, tensor in content.items()
        }
        # Copied, as a task may remember parts of one tensor, or a parameter as it was, and a file wants each apart.
        tensors |= {f"task/{name}": tensor.detach().cpu().contiguous().clone() for name, tensor in self.task.items()}
        run = json.dumps({"step": self.step, "counters": self.counters, "identity": self.identity})
        with write_aside(path) as temporary:
            save_file(tensors, temporary, metadata={"format": FORMAT, "run": run, _CHECKSUM: checksum(tensors, run)})

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint; those of earlier versions have no checksum.

        Raises:
            BadFile: If the file is missing, damaged or not a checkpoint.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise BadFile(f"{path} is not a training checkpoint; name the folder of an interrupted run")
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            if metadata.get(_CHECKSUM) not in (None, checksum(tensors, metadata["run"])):
                raise ValueError("its content is not what was written")
            return cls._of(tensors, json.loads(metadata["run"]))
        except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
            raise BadFile(f"{path} cannot be read as a checkpoint ({error}); delete it to start over") from error

    @classmethod
    def _of(cls, tensors: Mapping[str, Tensor], header: Any) -> "Checkpoint":
        """Put together what a file holds.

        Raises:
            ValueError: If something is missing, or cannot be.
        """
        if not isinstance(header, dict) or not all(isinstance(header.get(part), dict) for part in _HEADER):
            raise ValueError("it does not say what it holds")
        step = header.get("step")
        if not isinstance(step, int) or step < 0:
            raise ValueError(f"it claims to be of step {step}")
        sections: dict[str, dict[str, Tensor]] = {"parameter": {}, "average": {}, "optimizer": {}, "task": {}}
        for key, tensor in tensors.items():
            section, slash, name = key.partition("/")
            if not slash or section not in sections:
                raise ValueError(f"nothing is known of {key}")
            sections[section][name] = tensor
        return cls(
            step=step,
            parameters=sections["parameter"],
            average=sections["average"],
            optimizer=sections["optimizer"],
            counters=header["counters"],
            identity=header["identity"],
            task=sections["task"],
        )


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Say in one line what a checkpoint lacks that a run is continued from.

    Raises:
        BadFile: If something is missing there, or of another kind or shape than what it is put into.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise BadFile(f"{path} lacks what the run needs to continue ({reason}); delete it to start over") from error


def optimizer_state(optimizer: torch.optim.Optimizer, names: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Take an optimiser's state apart, whatever it holds.

    Args:
        optimizer: The optimiser.
        names: Names of its parameters in order.

    Returns:
        Tensors keyed ``<parameter name>.<state name>``; other state, of parameters and of groups, as JSON-able values.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    tensors: dict[str, Tensor] = {}
    values: dict[str, dict[str, Any]] = {}
    places: set[int] = set()
    for name, parameter in zip(names, parameters, strict=True):
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                # One table may serve all parameters of an optimiser; a file wants each tensor to itself.
                tensors[f"{name}.{key}"] = value.clone() if value.data_ptr() in places else value
                places.add(value.data_ptr())
            else:
                values.setdefault(name, {})[key] = value
    groups = [{key: _plain(value) for key, value in g.items() if key != "params"} for g in optimizer.param_groups]
    return tensors, {"parameters": values, "groups": groups}


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    rest: Mapping[str, Any] | None = None,
) -> None:
    """Put what `optimizer_state` returned back into an optimiser over the same parameters."""
    # Not by load_state_dict, which casts state to the parameter's precision: some optimisers keep theirs in another.
    for key, value in tensors.items():
        name, entry = key.rsplit(".", 1)
        parameter = parameters[name]
        if value.shape == parameter.shape:
            # A fused optimiser walks memory, so its state must be laid out as the parameter is.
            value = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
        optimizer.state[parameter][entry] = value.to(parameter.device)
    if rest is None:
        return
    for name, values in rest["parameters"].items():
        for entry, value in values.items():
            optimizer.state[parameters[name]][entry] = _value(value)
    for group, values in zip(optimizer.param_groups, rest["groups"], strict=True):
        group.update({key: _value(value) for key, value in values.items()})


def difference(old: Any, new: Any, path: str = "") -> str:
    """Name the first setting in which two runs' identities differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                where = f"{path}.{key}" if path else key
                if key not in old:
                    return f"it does not say {where}, which is {new[key]!r} now"
                return difference(old[key], new.get(key), where)
    return f"{path} was {old!r} and is {new!r} now"


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it; a number in a tensor with its precision, as sums depend on it."""
    if isinstance(value, Tensor):
        return {"number": value.item(), "dtype": str(value.dtype).removeprefix("torch.")}
    return value


def _value(plain: Any) -> Any:
    """Undo `_plain`; JSON knows no tuples, and no optimiser minds one where it had a list."""
    if isinstance(plain, dict):
        return torch.tensor(plain["number"], dtype=getattr(torch, plain["dtype"]))
    return tuple(_value(part) for part in plain) if isinstance(plain, list) else plain
