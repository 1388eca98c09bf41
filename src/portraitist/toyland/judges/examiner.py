"""The examiner: a small classifier, trained on drawn pictures, that reads generated ones for the exam."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.errors import BadFile
from portraitist.evaluation.encoders import ResidualStage
from portraitist.files import sha256, write_aside
from portraitist.randomness import numpy_generator
from portraitist.toyland.judges.config import ExaminerConfig
from portraitist.toyland.judges.questions import HEADS, UNASKED, Answers, to_targets, truth
from portraitist.toyland.judges.stream import as_seen, disturb, sample_batch
from portraitist.toyland.world.painting import Painter, plan
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.networks.parameters import group_parameters

WEIGHTS, CONFIG = "model.safetensors", "config.json"
# The examiner of the package.
BUILTIN = Path(str(files("portraitist.toyland.judges"))) / "builtin" / "examiner"


class Examiner(nn.Module):
    """A residual network from pictures ``[n, 3, side, side]`` in [-1, 1] to logits of every head.

    Attributes:
        settings: Its channels and the side of its pictures.
        revision: A hash of the weights it was loaded with.
    """

    def __init__(self, channels: Sequence[int], side: int) -> None:
        super().__init__()
        self.revision = "untrained"
        self.settings: dict[str, Any] = {"channels": list(channels), "side": side}
        self.stem = nn.Conv2d(3, channels[0], 3, stride=2, padding=1)
        self.stages = nn.ModuleList(ResidualStage(a, b) for a, b in pairwise(channels))
        # No pooling: left and right are among the questions.
        inputs = channels[-1] * (side >> len(channels)) ** 2
        self.head = nn.Linear(inputs, sum(map(len, HEADS.values())))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return logits ``[n, answers]`` by head."""
        hidden = self.stem(pixels)
        for stage in self.stages:
            hidden = stage(F.silu(hidden))
        logits = self.head(F.silu(hidden).flatten(1)).float()
        return dict(zip(HEADS, logits.split([len(answers) for answers in HEADS.values()], dim=1), strict=True))

    @torch.no_grad()
    def read(self, pictures: Tensor, batch_size: int = 100) -> list[Answers]:
        """Answer every question about uint8 pictures ``[n, 3, h, w]``; those of another size are resized."""
        device = self.head.weight.device
        rows: list[Answers] = []
        for part in pictures.split(batch_size):
            logits = self(as_seen(part.to(device), self.settings["side"]))
            chosen = {head: values.argmax(1).tolist() for head, values in logits.items()}
            rows += [{head: HEADS[head][chosen[head][row]] for head in HEADS} for row in range(len(part))]
        return rows

    def save(self, folder: Path) -> None:
        """Write weights, in half precision, and settings into a folder."""
        weights = {name: tensor.detach().cpu().half().contiguous() for name, tensor in self.state_dict().items()}
        with write_aside(folder / WEIGHTS) as temporary:
            save_file(weights, temporary)
        with write_aside(folder / CONFIG) as temporary:
            temporary.write_text(json.dumps({**self.settings, "heads": HEADS}, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path = BUILTIN) -> "Examiner":
        """Read an examiner that `save` wrote, the package's when no folder is given.

        Raises:
            BadFile: If the folder holds none, or one that answers other questions.
        """
        try:
            settings = json.loads((folder / CONFIG).read_text())
            heads = {head: tuple(answers) for head, answers in settings.pop("heads").items()}
            if heads != HEADS:
                raise BadFile(f"the examiner in {folder} answers other questions than today's; train it anew")
            examiner = cls(**settings)
            weights = load_file(folder / WEIGHTS)
            examiner.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
            examiner.revision = sha256(folder / WEIGHTS)[:16]
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            command = "portraitist toyland judges --stage examiner"
            raise BadFile(f"no examiner can be read from {folder} ({error}); train it: {command}") from error
        return examiner.eval()


class ExaminerTask:
    """Answer every question about pictures that were moved, blurred and disturbed as a generator might."""

    def __init__(
        self, model: Examiner, painter: Painter, config: ExaminerConfig, known: tuple[Tensor, Sequence[Answers]]
    ) -> None:
        """Set up the task.

        Args:
            model: The network to train.
            painter: Who paints the pictures, on the network's device.
            config: Settings of the stage.
            known: Pictures as the autoencoder gives them back, uint8 ``[m, 3, h, w]``, and the truth about them.
        """
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model, self.painter, self.config = model.train(), painter, config
        self.restored, self.answers = known

    def groups(self) -> Sequence[ParameterGroup]:
        """Return all weights."""
        named = dict(self.model.named_parameters())
        return group_parameters(named, self.config.learning_rate, self.config.weight_decay)

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings, save how long it goes on."""
        return {"stage": "examiner", **self.config.model_dump(mode="json", exclude={"steps"})}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Read one batch."""
        config = self.config
        restored = round(config.reconstructed * config.batch_size) if len(self.restored) else 0
        chosen = numpy_generator(config.seed, "restored", step).integers(0, max(1, len(self.restored)), restored)
        specs = sample_batch(config.batch_size - restored, config.seed, step)
        painted = self.painter.paint(plan(specs))
        pictures = torch.cat([painted, self.restored[torch.from_numpy(chosen)].to(painted.device)])
        targets = to_targets([*map(truth, specs), *(self.answers[i] for i in chosen)])
        logits = self.model(disturb(as_seen(pictures, config.side), config, step))
        losses, verdicts = [], []
        for head, values in logits.items():
            answers = targets[head].to(values.device)
            loss = F.cross_entropy(values, answers, ignore_index=UNASKED, reduction="sum")
            losses.append(loss / config.batch_size)
            verdicts.append((values.argmax(1) == answers)[answers != UNASKED])
        return {"loss": torch.stack(losses).sum(), "accuracy": torch.cat(verdicts).float().mean()}
