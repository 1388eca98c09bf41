"""Training the judges: stages, each resumable and each in its folder, up to the finished judges."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from portraitist.bases import Base
from portraitist.evaluation.encoders import PictureNetwork, save_small
from portraitist.locks import held
from portraitist.randomness import numpy_generator
from portraitist.toyland.budgets import Budget
from portraitist.toyland.judges.config import IdentityConfig, JudgeConfig, JudgesConfig
from portraitist.toyland.judges.exam import grade
from portraitist.toyland.judges.examiner import CONFIG, Examiner, ExaminerTask
from portraitist.toyland.judges.identity import IdentityTask, identity_accuracy
from portraitist.toyland.judges.matching import MatchingTask, tokenize
from portraitist.toyland.judges.questions import Answers, truth
from portraitist.toyland.judges.restoring import restore
from portraitist.toyland.judges.stream import as_seen
from portraitist.toyland.judges.views import ViewsTask
from portraitist.toyland.text_encoder import Matching, build_text_encoder, retrieval_accuracy
from portraitist.toyland.world.captions import COMPLETE, caption
from portraitist.toyland.world.identities import KINDS
from portraitist.toyland.world.painting import Painter
from portraitist.toyland.world.pictures import PHOTO, PictureSpec, sample_picture
from portraitist.toyland.world.portraits import choose_identities, paint_batches, paint_portraits
from portraitist.training.loop.loop import Task
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.reports import add_facts
from portraitist.training.networks.training import Attend, train_network

STAGES = ("examiner", "clip", "identity", "dino")
# Trained only when asked for: it judges nothing.
FURTHER_STAGES = ("second-identity",)
_VALIDATION = 2000


@dataclass(frozen=True)
class JudgesWorkshop:
    """The folder in which the judges are made: one folder a stage, and the finished judges.

    Attributes:
        folder: Where everything goes; an interrupted stage continues from here.
        config: Every setting.
        base: The toyland whose autoencoder the examiner gets to know, and whose tokenizer the encoder of texts has.
        machine: What the networks are trained on, and the pictures painted.
        budget: Time for the stages, instead of the configuration's steps.
        attend: Given a stage and its loop before it runs, returns what is called after each of its steps.
    """

    folder: Path
    config: JudgesConfig
    base: Base
    machine: Machine
    budget: Budget | None = None
    attend: Attend | None = None

    def make(self, stages: Sequence[str] = STAGES) -> None:
        """Run the given stages in order; a finished stage is passed over. Each is one process' work at a time.

        Raises:
            InUse: If another process is at a stage.
        """
        steps = {
            "examiner": self.train_examiner,
            "clip": self.train_clip,
            "identity": self.train_identity,
            "dino": self.train_dino,
            "second-identity": self.train_second_identity,
        }
        for stage in stages:
            with held(self.folder, f"the stage {stage}", stage):
                if not (self.folder / _judge(stage) / CONFIG).exists():
                    steps[stage]()

    def train_examiner(self) -> None:
        """Train who reads pictures; note how many validation pictures are read rightly."""
        config = self.config.examiner
        torch.manual_seed(config.seed)
        model = Examiner(config.channels, config.side).to(self.machine.device)
        rng = numpy_generator(config.seed, "pictures to restore")
        specs = [sample_picture(rng) for _ in range(config.reconstructions)]
        restored = restore(self.base.pipeline.vae, self._paint(specs)) if specs else torch.empty(0)
        task = ExaminerTask(model, self.painter, config, (restored, [truth(spec) for spec in specs]))
        self._train(task, config, "examiner")
        model.eval()
        for name, (pictures, answers) in self._validation_pictures(_VALIDATION).items():
            scores = grade(answers, model.read(pictures))
            facts = {f"{name} {measure}": score.accuracy for measure, score in scores.items()}
            add_facts(self.folder, "examiner", facts)
        model.save(self.folder / _judge("examiner"))

    def train_clip(self) -> None:
        """Train pictures and captions into one space; note how often test pictures find their captions."""
        config, tests = self.config.clip, self.config.tests
        tokenizer = self.base.pipeline.tokenizer
        torch.manual_seed(config.seed)
        text = build_text_encoder(config, tokenizer)
        networks = Matching(text, PictureNetwork(config.channels, config.embedding))
        self._train(MatchingTask(networks, tokenizer, self.painter, config, self.machine), config, "clip")
        networks.eval()
        specs, captions = differing(tests.pictures, tests.among, tests.seed)
        pictures, ids = self._paint(specs), tokenize(tokenizer, captions, config.tokens)
        accuracy = retrieval_accuracy(
            networks, lambda rows: as_seen(pictures[rows].to(self.machine.device), config.side), ids, tests.among
        )
        facts = {f"test_caption_top1_among_{tests.among}": accuracy}
        add_facts(self.folder, "clip", facts)
        save_small(self.folder / _judge("clip"), networks.pictures, config.side, facts, text.cpu(), tokenizer)

    def train_identity(self) -> None:
        """Train who is who; note how often test identities are recognised."""
        self._train_recognising("identity", self.config.identity)

    def train_second_identity(self) -> None:
        """Train who is who once more, from another seed, for networks to see with while the first one judges."""
        self._train_recognising("second-identity", self.config.second_identity)

    def train_dino(self) -> None:
        """Train what looks alike, without labels; note how often test identities are recognised all the same."""
        config = self.config.dino
        torch.manual_seed(config.seed)
        network = PictureNetwork(config.channels, config.embedding).to(self.machine.device)
        self._train(ViewsTask(network, self.painter, config), config, "dino")
        self._save_recognising("dino", network, config)

    @cached_property
    def painter(self) -> Painter:
        """Return who paints the pictures."""
        return Painter(self.machine.device)

    def _paint(self, specs: Sequence[PictureSpec]) -> Tensor:
        return paint_batches(self.painter, specs).cpu()

    def _validation_pictures(self, count: int) -> dict[str, tuple[Tensor, list[Answers]]]:
        """Return validation pictures with the truth about them: as drawn, and as the autoencoder gives them back."""
        rng = numpy_generator(self.config.tests.seed, "drawn validation pictures")
        specs = [sample_picture(rng, "validation") for _ in range(count)]
        pictures, answers = self._paint(specs), [truth(spec) for spec in specs]
        return {
            "drawings": (pictures, answers),
            "reconstructions": (restore(self.base.pipeline.vae, pictures), answers),
        }

    def _train(self, task: Task, settings: JudgeConfig, stage: str) -> None:
        minutes = self.budget.minutes(stage) if self.budget is not None else None
        train_network(task, settings, self.folder, stage, self.machine, minutes, self.attend)

    def _train_recognising(self, stage: str, config: IdentityConfig) -> None:
        torch.manual_seed(config.seed)
        network = PictureNetwork(config.channels, config.embedding).to(self.machine.device)
        self._train(IdentityTask(network, self.painter, config), config, stage)
        self._save_recognising(stage, network, config)

    def _save_recognising(self, stage: str, network: PictureNetwork, config: JudgeConfig) -> None:
        tests, facts = self.config.tests, {}
        for name, kinds in (("identity", KINDS), ("person", ("person",))):
            who = choose_identities(tests.identities, "test", tests.seed, kinds)
            portraits = paint_portraits(self.painter, who, 2, tests.seed, PHOTO)
            facts[f"test_{name}_top1_among_{len(who)}"] = identity_accuracy(network.eval(), portraits, config.side)
        add_facts(self.folder, stage, facts)
        save_small(self.folder / _judge(stage), network, config.side, facts)


def _judge(stage: str) -> str:
    """Return the folder of a finished judge."""
    return "judges/examiner" if stage == "examiner" else f"judges/toyland-{stage}"


def differing(count: int, among: int, seed: int) -> tuple[list[PictureSpec], list[str]]:
    """Draw test pictures with complete captions that differ within every `among` consecutive ones."""
    rng = numpy_generator(seed, "test pictures")
    specs: list[PictureSpec] = []
    captions: list[str] = []
    while len(specs) < count:
        spec = sample_picture(rng, "test")
        text = caption(spec, rng, COMPLETE)
        if text not in captions[len(specs) // among * among :]:
            specs.append(spec)
            captions.append(text)
    return specs, captions
