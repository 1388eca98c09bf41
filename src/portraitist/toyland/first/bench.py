"""The bench at which toyland's stages work: their folder and settings, training, tokens, and the report on each."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTokenizer

from portraitist.files import write_aside
from portraitist.toyland.first.config import ToylandConfig, WarmedTrainingConfig
from portraitist.toyland.first.world.captions import IDENTIFIERS
from portraitist.toyland.first.world.dataset import Dataset, load_dataset
from portraitist.toyland.tokenizer import train_tokenizer
from portraitist.training.loop.loop import Loop, LoopConfig, Task

_REPORT = "report.json"


@dataclass(frozen=True)
class Bench:
    """The folder in which toyland is made: data, and one folder a stage.

    Attributes:
        folder: Where everything goes; an interrupted stage continues from here.
        config: Every setting.
        device: Where the networks are trained.
        precision: ``no`` or ``bf16``.
        workers: Processes that draw pictures.
    """

    folder: Path
    config: ToylandConfig
    device: str = "cpu"
    precision: str = "no"
    workers: int = 1

    def train(self, task: Task, config: WarmedTrainingConfig, stage: str) -> None:
        """Train a stage's network with a learning rate that warms up and falls to nothing."""
        loop_config = LoopConfig(
            steps=config.steps,
            schedule="cosine",
            warmup_steps=config.warmup_steps,
            average_decay=config.average_decay,
            precision=self.precision,
        )
        self.finish(Loop(task, loop_config, self.folder / stage, description=stage))

    def finish(self, loop: Loop) -> None:
        """Run a stage to its end, leave the averaged weights in the model and note the outcome."""
        outcome = loop.run(resume=True)
        if loop.average is not None:
            loop.average.copy_to(loop.parameters.values())
        facts = {"steps": outcome.steps, "seconds": round(outcome.seconds), **outcome.losses}
        self.report(loop.description, facts)

    def report(self, stage: str, facts: dict[str, float]) -> None:
        """Write facts about a stage down."""
        report = self.read_report()
        report.setdefault(stage, {}).update(facts)
        with write_aside(self.folder / _REPORT) as temporary:
            temporary.write_text(json.dumps(report, indent=2))

    def read_report(self) -> dict[str, dict[str, float]]:
        """Return the facts about every stage that has finished."""
        path = self.folder / _REPORT
        return json.loads(path.read_text()) if path.exists() else {}

    def data(self, split: str) -> Dataset:
        """Open the pictures and captions of a split."""
        return load_dataset(self.folder / split)

    def tokenizer(self) -> CLIPTokenizer:
        """Return the tokenizer, trained on all captions the first time."""
        folder = self.folder / "tokenizer"
        if not folder.exists():
            config = self.config.text_encoder
            captions = (caption for row in self.data("train").captions for caption in row)
            train_tokenizer(captions, IDENTIFIERS, config.vocabulary, config.tokens).save_pretrained(folder)
        return CLIPTokenizer.from_pretrained(folder)

    def token_ids(self, split: str, data: Dataset, tokenizer: CLIPTokenizer) -> Tensor:
        """Return the captions' tokens ``[n, captions, tokens]`` in int16, cached."""
        path = self.folder / f"tokens-{split}.safetensors"
        if not path.exists():
            flat = [caption for row in data.captions for caption in row]
            ids = tokenize(tokenizer, flat).view(len(data.captions), -1, tokenizer.model_max_length)
            with write_aside(path) as temporary:
                save_file({"ids": ids}, temporary)
        return load_file(path)["ids"]


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Tokenise to ``[n, tokens]`` in int16, padded and truncated to the model's length."""
    ids = np.array(tokenizer(captions, padding="max_length", truncation=True).input_ids, dtype=np.int16)
    return torch.from_numpy(ids)
