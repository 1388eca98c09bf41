"""What `portraitist train` is asked: photos of one subject or several, to one adapter file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from portraitist.errors import BadConfig, BadFile, BadPhoto
from portraitist.requests.advice import Advice
from portraitist.requests.bases import check_base
from portraitist.requests.choices import BaseChoice, SubjectChoice, check_fit
from portraitist.requests.request import Request, Rule
from portraitist.requests.usual import DEFAULT_BASE
from portraitist.training.words import check_words

_ANY_FAMILY = "sd"
Collages = Literal["none", "cut-mix", "cut-mix-unmix"]


class TrainRequest(Request):
    """Teach a base one subject, or several in one adapter.

    Attributes:
        subjects: Who or what to teach.
        collages: Whether several subjects are also shown in collages of two, and kept apart there by attention.
        base: The base.
        method: A method, or several with ``+``; None for the recipe file's, or LoRA.
        recipe: A YAML file of settings that go above the method's own recipe.
        settings: Settings above those, as a recipe holds them.
        start: An adapter file whose values the training starts from; None starts afresh.
        fit: Photos that are not square: ``crop``, or ``pad`` with white.
        output: The adapter file, or a folder for it; None names it after the photos.
        resume: Continue an interrupted run.
        overwrite: Replace an adapter file that is there.
    """

    subjects: tuple[SubjectChoice, ...]
    collages: Collages = "none"
    base: BaseChoice = BaseChoice()
    method: str | None = None
    recipe: Path | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    start: Path | None = None
    fit: str = "crop"
    output: Path | None = None
    resume: bool = False
    overwrite: bool = False

    @property
    def file(self) -> Path:
        """Return the adapter file that will be written."""
        from portraitist.training.outputs import SUFFIX

        names = [subject.photos[0].resolve().stem or "subject" for subject in self.subjects]
        name = f"{'-and-'.join(names)}{SUFFIX}"
        if self.output is None:
            return Path(name)
        return self.output / name if self.output.is_dir() else self.output

    def rules(self) -> Sequence[Rule]:
        """Return what must hold of subjects, photos, base and output."""
        return (
            self._check_subjects,
            self._check_photos,
            self._check_start,
            self._check_settings,
            lambda: check_base(self.base),
            lambda: check_fit(self.fit),
            self._check_output,
        )

    def hints(self) -> list[Advice]:
        """Say that there is nothing to resume, or nothing left to do."""
        from portraitist.training.outputs import is_finished, is_interrupted

        if not self.resume or not self._has_photos:
            return []
        if is_finished(self.file):
            return [Advice.of(f"{self.file} is finished already; what its run left is removed", "note")]
        if is_interrupted(self.file):
            return []
        return [Advice.of(f"there is no interrupted run of {self.file}; starting from scratch")]

    @property
    def _has_photos(self) -> bool:
        return bool(self.subjects) and all(subject.photos for subject in self.subjects)

    def _check_subjects(self) -> None:
        if not self._has_photos:
            raise BadConfig("there are no photos; give a folder of them, and --class")
        for subject in self.subjects:
            check_words(subject.class_noun, subject.token)
        if self.collages != "none" and len(self.subjects) == 1:
            raise BadConfig(
                "collages show several subjects; give each with --subject PHOTOS:CLASS:TOKEN, as in --subject"
                " my-cat:cat:sks"
            )

    def _check_photos(self) -> None:
        for path in (path for subject in self.subjects for path in subject.photos):
            if not path.exists():
                raise BadPhoto(f"{path} does not exist; give a folder of photos, or pictures")

    def _check_settings(self) -> None:
        """Settle the recipe for a family that stands for any: names and values of settings are the same in all."""
        from portraitist.training.recipes.recipe import load_recipe

        load_recipe(self.method, self.base.name or DEFAULT_BASE, _ANY_FAMILY, self.recipe, self.settings)

    def _check_start(self) -> None:
        if self.start is not None and not self.start.exists():
            raise BadFile(f"{self.start} does not exist; name the adapter file to start from")

    def _check_output(self) -> None:
        from portraitist.training.outputs import check_output

        if self._has_photos:
            check_output(self.file, self.resume, self.overwrite)
