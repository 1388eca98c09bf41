"""Carrying out a `TrainRequest`."""

from pathlib import Path
from typing import Any

from portraitist.adapters import Adapter
from portraitist.generation.notes import is_generated
from portraitist.requests.advice import Advice
from portraitist.requests.handle import Handle
from portraitist.requests.jobs.job import Job
from portraitist.requests.jobs.opening import open_base
from portraitist.requests.train import TrainRequest
from portraitist.requests.value import Value
from portraitist.training.blank_adapters import new_adapter
from portraitist.training.familiarity import familiarity_warnings
from portraitist.training.inputs.companions import missing_companions
from portraitist.training.multi_subject.cut_mix import pair_prompt
from portraitist.training.multi_subject.teaching import train_several, with_cut_mix
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.starting import start_from
from portraitist.training.subjects import Subject
from portraitist.training.tokens import token_warning
from portraitist.training.watching.outcomes import kept_words, loss_words
from portraitist.training.watching.watching import scoring_advice
from portraitist.units import first_few

_SCENE = "on the beach"


class PlannedSubject(Value):
    """A subject as it will be taught: token and class noun, and how many photos of it can be used."""

    words: str
    photos: int


class TrainPlan(Value):
    """What a training run will do; memory is told by `portraitist.training.planning`, which takes longer.

    Attributes:
        subjects: Who or what is taught.
        base: The base's name.
        precision: What it is held in, e.g. ``float32``.
        recipe: Everything that decides the run.
        start: The adapter file whose values it starts from; None if it starts afresh.
    """

    subjects: tuple[PlannedSubject, ...]
    base: str
    precision: str
    recipe: Recipe
    start: Path | None = None


class Trained(Value):
    """What came of a training run.

    Attributes:
        file: Path of the adapter.
        size: Its bytes.
        parameters: How many it has.
        steps: Optimiser steps taken.
        seconds: Time spent in them.
        prompt: A prompt to try it with.
        kept: Where the run was watched, which step the file holds, and why; None if it is the last.
        loss: What it was on fixed noise before and after; None if the run was too short to measure it.
    """

    file: Path
    size: int
    parameters: int
    steps: int
    seconds: float
    prompt: str
    kept: str | None = None
    loss: str | None = None


class TrainJob(Job[TrainPlan, Trained]):
    """A training run whose base is loaded, whose recipe is settled and whose photos are read.

    Args:
        request: What is asked.

    Raises:
        PortraitistError: If it cannot be done, in one line.
    """

    def __init__(self, request: TrainRequest) -> None:
        request.check()
        self.request, self.file = request, request.file
        self.base, self.advice = open_base(request.base)
        self.advice = [*request.hints(), *self.advice]
        recipe = load_recipe(request.method, self.base.name, self.base.family.name, request.recipe, request.settings)
        if request.collages != "none":
            recipe = with_cut_mix(recipe, unmix=request.collages == "cut-mix-unmix")
        self.subjects = [
            Subject.from_folder(each.photos, each.class_noun, each.token, self.base.family.resolution, request.fit)  # type: ignore[arg-type]
            for each in request.subjects
        ]
        self.advice += [Advice.of(f"skipped: {line}") for subject in self.subjects for line in subject.skipped]
        self.advice += [Advice.of(line) for line in familiarity_warnings(self.base, self.subjects)]
        self.advice += [Advice.of(line) for each in self.subjects for line in _generated_warnings(each)]
        if len(self.subjects) == 1:
            self.advice += self._advise(self.subjects[0], recipe)
        self.plan = TrainPlan(
            subjects=tuple(PlannedSubject(words=_words(each), photos=len(each.photos)) for each in self.subjects),
            base=self.base.name,
            precision=self.base.precision,
            recipe=recipe,
            start=request.start,
        )
        if request.start is not None:  # refused here rather than when it is run
            start_from(new_adapter(self.base, self.subjects, recipe), request.start, self.base)

    def run(self, handle: Handle | None = None) -> Trained:
        """Teach the base, write the adapter's file, and return what came of it.

        Raises:
            TrainingInterrupted: If the handle asked to stop, or on Ctrl-C; resuming the request finishes it.
        """
        handle, recipe, steps = handle or Handle(), self.plan.recipe, self.plan.recipe.steps
        options: dict[str, Any] = {
            "output": self.file,
            "resume": self.request.resume,
            "overwrite": self.request.overwrite,
            "start": self.request.start,
            "callbacks": [lambda step: handle.tell("training", step, steps)],
            "stop": handle.stopping,
        }
        if len(self.subjects) == 1:
            adapter = train(self.base, self.subjects[0], recipe, **options)
        else:
            adapter = train_several(self.base, self.subjects, recipe, **options)
        return self._outcome(adapter)

    def _advise(self, subject: Subject, recipe: Recipe) -> list[Advice]:
        """Return what is known of one subject and its recipe that may disappoint."""
        lines = [
            token_warning(self.base.pipeline.tokenizer, subject.token),
            *missing_companions(subject, recipe.photos),
            scoring_advice(recipe),
        ]
        return [Advice.of(line) for line in lines if line is not None]

    def _outcome(self, adapter: Adapter) -> Trained:
        words, template = [_words(subject) for subject in self.subjects], self.plan.recipe.prompt
        shown = (
            template.replace("{}", words[0]) if len(words) == 1 else pair_prompt(template, words[0], words[1], "list")
        )
        training = adapter.provenance.training
        return Trained(
            file=self.file,
            size=self.file.stat().st_size,
            parameters=adapter.count(),
            steps=training["steps"],
            seconds=training["seconds"],
            prompt=f"{shown} {_SCENE}",
            kept=kept_words(training),
            loss=loss_words(training),
        )


def _words(subject: Subject) -> str:
    return f"{subject.token} {subject.class_noun}"


def _generated_warnings(subject: Subject) -> list[str]:
    """Say that pictures were generated that should be photos, as when both lie in one folder."""
    made = [path.name for path in subject.paths if is_generated(path)]
    if not made:
        return []
    return [
        f"generated pictures are among the photos of {subject.name} ({first_few(made)}), and what is wrong with them is"
        " learnt too; keep photos and pictures in folders of their own"
    ]
