"""Carrying a workshop's results between machines: what is finished, and the weights of the stage in hand."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from portraitist.files import write_aside
from portraitist.training.loop.loop import Callback, Loop
from portraitist.training.networks.packets import file_tensor, read_packet, tensor_file, write_packet
from portraitist.training.networks.reports import REPORT, add_facts
from portraitist.training.networks.training import has_weights, trained_weights, write_start

LARGEST = 62 * 2**20  # bytes that come back, a little below what is allowed
_FINISHED = ("autoencoder/vae", "decoder/vae", "text-encoder")
_AVERAGE, _RAW = "average", "raw"
_WEIGHTS = ".safetensors"
_BETWEEN = "|"


@dataclass
class Returns:
    """Writes packets while stages are trained.

    Attributes:
        folder: The workshop's folder.
        target: Where packets go; each replaces the one before.
        seconds: Time between two.
        clock: Seconds that pass.
    """

    folder: Path
    target: Path
    seconds: float = 90.0
    clock: Callable[[], float] = time.monotonic
    _written: float = field(init=False)

    def __post_init__(self) -> None:
        self._written = self.clock()

    def attend(self, stage: str, loop: Loop) -> Sequence[Callback]:
        """Return what writes a packet now and then while a stage is trained."""

        def write(completed: int) -> None:
            if self.clock() - self._written > self.seconds:
                self.write(stage, loop)

        return [write]

    def write(self, stage: str, loop: Loop) -> None:
        """Write a packet with what is finished and the weights of the stage in hand, averaged and, if they fit, raw."""
        tensors = finished(self.folder) | _named(stage, _AVERAGE, _averages(loop))
        raw = _named(stage, _RAW, {name: value.detach() for name, value in loop.parameters.items()})
        if sum(2 * tensor.numel() for tensor in (*tensors.values(), *raw.values())) < LARGEST:
            tensors |= raw
        write_packet(self.target, tensors)
        self._written = self.clock()


def finished(folder: Path) -> dict[str, Tensor]:
    """Return the files of finished stages by their places."""
    tensors: dict[str, Tensor] = {}
    for path in _finished_files(folder):
        place = path.relative_to(folder).as_posix()
        if path.suffix == _WEIGHTS:
            tensors |= {f"{place}{_BETWEEN}{name}": value for name, value in load_file(path).items()}
        else:
            tensors[place] = file_tensor(path)
    return tensors


def write_all(folder: Path, target: Path) -> None:
    """Write a packet of a workshop in which nothing is being trained: what is finished, and the denoiser so far."""
    tensors = finished(folder)
    if has_weights(folder / "denoiser"):
        tensors |= _named("denoiser", _AVERAGE, trained_weights(folder / "denoiser")[0])
    write_packet(target, tensors)


def take_back(packet: Path, folder: Path) -> None:
    """Put a packet's contents into a workshop; a stage that was in hand starts from its averaged weights.

    Raises:
        BadFile: If it holds none, or is damaged.
    """
    files: dict[str, dict[str, Tensor]] = {}
    starts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in read_packet(packet).items():
        place, between, name = key.partition(_BETWEEN)
        if place == REPORT:
            _add_report(folder, tensor)
        elif not between:
            tensor_file(tensor, folder / place)
        elif place.endswith(_WEIGHTS):
            files.setdefault(place, {})[name] = tensor.float()
        elif place.endswith(_AVERAGE):
            starts.setdefault(place.partition("/")[0], {})[name] = tensor.float()
    for place, weights in files.items():
        with write_aside(folder / place) as temporary:
            save_file(weights, temporary, metadata={"format": "pt"})
    for stage, weights in starts.items():
        write_start(folder / stage, weights)


def _add_report(folder: Path, content: Tensor) -> None:
    for stage, facts in json.loads(content.numpy().tobytes()).items():
        add_facts(folder, stage, facts)


def _averages(loop: Loop) -> dict[str, Tensor]:
    if loop.average is None:
        return {name: value.detach() for name, value in loop.parameters.items()}
    return dict(zip(loop.parameters, loop.average.shadow_params, strict=True))


def _named(stage: str, kind: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{stage}/{kind}{_BETWEEN}{name}": value for name, value in weights.items()}


def _finished_files(folder: Path) -> list[Path]:
    paths = [folder / REPORT] if (folder / REPORT).exists() else []
    for place in _FINISHED:
        for path in sorted((folder / place).rglob("*")):
            if path.is_file() and path.name not in _LEFT_BEHIND:
                paths.append(path)
    return paths


_LEFT_BEHIND = ("last.safetensors", "start.safetensors", "log.jsonl")
