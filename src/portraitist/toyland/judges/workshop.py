"""Training the judges, each resumable, in a folder of their own."""

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
from portraitist.toyland.judges.config import IdentityConfig, JudgeConfig, JudgesConfig
from portraitist.toyland.judges.exam import grade
from portraitist.toyland.judges.examiner import CONFIG, Examiner, ExaminerTask
from portraitist.toyland.judges.identity import IdentityTask, identity_accuracy
from portraitist.toyland.judges.matching import MatchingTask, retrieval_accuracy, tokenize
from portraitist.toyland.judges.questions import Answers, truth
from portraitist.toyland.judges.restoring import restore
from portraitist.toyland.judges.views import ViewsTask
from portraitist.toyland.text_encoder import build_text_encoder
from portraitist.toyland.world.captions import COMPLETE, caption
from portraitist.toyland.world.identities import KINDS
from portraitist.toyland.world.painting import Painter
from portraitist.toyland.world.pictures import PHOTO, PictureSpec, sample_picture
from portraitist.toyland.world.portraits import choose_identities, paint_batches, paint_portraits
from portraitist.training.loop.loop import Loop, LoopConfig, Task
from portraitist.training.networks.reports import Facts, add_facts, read_report

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
        device: Where the networks are trained and the pictures painted.
        precision: ``no`` or ``bf16``.
    """

    folder: Path
    config: JudgesConfig
    base: Base
    device: str = "cpu"
    precision: str = "no"

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
        model = Examiner(config.channels, config.side).to(self.device)
        rng = numpy_generator(config.seed, "pictures to restore")
        specs = [sample_picture(rng) for _ in range(config.reconstructions)]
        restored = restore(self.base.pipeline.vae, self._paint(specs)) if specs else torch.empty(0)
        task = ExaminerTask(model, self.painter, config, (restored, [truth(spec) for spec in specs]))
        self._train(task, config, "examiner")
        model.eval()
        for name, (pictures, answers) in self.drawn(_VALIDATION).items():
            scores = grade(answers, model.read(pictures))
            self.report("examiner", {f"{name} {measure}": score.accuracy for measure, score in scores.items()})
        model.save(self.folder / _judge("examiner"))

    def train_clip(self) -> None:
        """Train pictures and captions into one space; note how often test pictures find their captions."""
        config, tests = self.config.clip, self.config.tests
        tokenizer = self.base.pipeline.tokenizer
        torch.manual_seed(config.seed)
        text = build_text_encoder(config, tokenizer).to(self.device)
        network = PictureNetwork(config.channels, config.embedding).to(self.device)
        self._train(MatchingTask(text, network, tokenizer, self.painter, config), config, "clip")
        text.eval(), network.eval()
        specs, captions = differing(tests.pictures, tests.among, tests.seed)
        ids = tokenize(tokenizer, captions, config.tokens)
        accuracy = retrieval_accuracy(text, network, self._paint(specs), ids, tests.among, config.side)
        facts = {f"test_caption_top1_among_{tests.among}": accuracy}
        self.report("clip", facts)
        save_small(self.folder / _judge("clip"), network, config.side, facts, text.cpu(), tokenizer)

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
        network = PictureNetwork(config.channels, config.embedding).to(self.device)
        self._train(ViewsTask(network, self.painter, config), config, "dino")
        self._save_recognising("dino", network, config)

    def drawn(self, count: int) -> dict[str, tuple[Tensor, list[Answers]]]:
        """Return validation pictures with the truth about them: as drawn, and as the autoencoder gives them back."""
        rng = numpy_generator(self.config.tests.seed, "drawn validation pictures")
        specs = [sample_picture(rng, "validation") for _ in range(count)]
        pictures, answers = self._paint(specs), [truth(spec) for spec in specs]
        return {
            "drawings": (pictures, answers),
            "reconstructions": (restore(self.base.pipeline.vae, pictures), answers),
        }

    @cached_property
    def painter(self) -> Painter:
        """Return who paints the pictures."""
        return Painter(self.device)

    def report(self, stage: str, facts: Facts) -> None:
        """Write facts about a stage down."""
        add_facts(self.folder, stage, facts)

    def read_report(self) -> dict[str, dict[str, float]]:
        """Return the facts about every stage that has finished."""
        return read_report(self.folder)

    def _paint(self, specs: Sequence[PictureSpec]) -> Tensor:
        return paint_batches(self.painter, specs).cpu()

    def _train(self, task: Task, config: JudgeConfig, stage: str) -> None:
        """Train to the end, leave the averaged weights in place, and note the outcome."""
        loop_config = LoopConfig(
            steps=config.steps,
            schedule="cosine",
            warmup_steps=config.warmup_steps,
            average_decay=config.average_decay,
            precision=self.precision,
        )
        loop = Loop(task, loop_config, self.folder / stage, description=stage)
        outcome = loop.run(resume=True)
        loop.keep()
        self.report(stage, {"steps": outcome.steps, "seconds": round(outcome.seconds), **outcome.losses})

    def _train_recognising(self, stage: str, config: IdentityConfig) -> None:
        torch.manual_seed(config.seed)
        network = PictureNetwork(config.channels, config.embedding).to(self.device)
        self._train(IdentityTask(network, self.painter, config), config, stage)
        self._save_recognising(stage, network, config)

    def _save_recognising(self, stage: str, network: PictureNetwork, config: JudgeConfig) -> None:
        tests, facts = self.config.tests, {}
        for name, kinds in (("identity", KINDS), ("person", ("person",))):
            who = choose_identities(tests.identities, "test", tests.seed, kinds)
            portraits = paint_portraits(self.painter, who, 2, tests.seed, PHOTO)
            facts[f"test_{name}_top1_among_{len(who)}"] = identity_accuracy(network.eval(), portraits, config.side)
        self.report(stage, facts)
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
