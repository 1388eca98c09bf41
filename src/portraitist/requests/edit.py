"""What `portraitist edit` is asked: another prompt for one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from portraitist.errors import BadConfig, BadPhoto
from portraitist.requests.advice import Advice
from portraitist.requests.choices import BaseChoice, check_fit
from portraitist.requests.devices import check_precision
from portraitist.requests.request import Request, Rule

if TYPE_CHECKING:
    from portraitist.generation.editing import EditConfig

ADAPTER = "adapter.safetensors"  # what was learnt from the picture, in the folder of the results
NOTHING = "none"


class EditRequest(Request):
    """Edit a picture by changing its prompt.

    Attributes:
        photo: The picture.
        source: What is to be seen in it.
        target: What should be seen in it instead.
        method: What learns the picture; ``none`` edits without learning.
        adapter: What was learnt from this picture before; then nothing is learnt.
        steps: Optimiser steps of learning the picture; None for what is usual.
        settings: Other settings of learning, as a recipe holds them.
        inversion: Start from the picture's own noise.
        strength: How much structure may change, 0 to 1; None for what is usual.
        eta: Fresh noise in every sampling step, 0 to 1.
        guidance: Weight of classifier-free guidance; None for what is usual.
        negative: Negative prompt: what pictures should not show.
        sampling_steps: DDIM steps; None for what is usual.
        refinements: Fixed-point evaluations of an inversion step at most; None for what is usual.
        count: Results.
        seed: Seed of the first result, and of learning.
        base: The base; held in float32 unless something else is chosen, as inversion needs its digits.
        fit: A picture that is not square: ``crop``, or ``pad`` with white.
        check_prompts: Ask the base whether the source prompt describes the picture.
        output: Folder of the results.
        resume: Continue an interrupted run of learning.
        overwrite: Replace an edit that is there.
    """

    photo: Path
    source: str
    target: str
    method: str = "svdiff"
    adapter: Path | None = None
    steps: int | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    inversion: bool = True
    strength: float | None = None
    eta: float = 0.0
    guidance: float | None = None
    negative: str | None = None
    sampling_steps: int | None = None
    refinements: int | None = None
    count: int = Field(1, ge=1)
    seed: int = Field(0, ge=0)
    base: BaseChoice = BaseChoice()
    fit: str = "crop"
    check_prompts: bool = True
    output: Path = Path("edit")
    resume: bool = False
    overwrite: bool = False

    @property
    def learns(self) -> bool:
        """Say whether the picture is learnt first."""
        return self.adapter is None and self.method != NOTHING

    @property
    def learning(self) -> dict[str, Any]:
        """Return the settings of learning."""
        steps = {} if self.steps is None else {"steps": self.steps}
        return {"seed": self.seed, **self.settings, **steps}

    @property
    def config(self) -> "EditConfig":
        """Return how to edit.

        Raises:
            BadConfig: If a setting cannot work.
        """
        from portraitist.generation.editing import EditConfig

        settings = {
            "strength": self.strength,
            "guidance": self.guidance,
            "steps": self.sampling_steps,
            "refinements": self.refinements,
            "negative_prompt": self.negative,
        }
        given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
        return EditConfig(inversion=self.inversion, eta=self.eta, **given)

    def rules(self) -> Sequence[Rule]:
        """Return what must hold of settings, words and output."""
        return (
            self._check_photo,
            self._check_learning,
            lambda: check_precision(self.base.precision),
            lambda: check_fit(self.fit),
            self._check_words,
            self.check_output,
            self._check_settings,
        )

    def hints(self) -> list[Advice]:
        """Say that nothing would change."""
        if self.source.split() != self.target.split():
            return []
        return [Advice.of("source and target are the same prompt, so the result will be the same picture")]

    def _check_photo(self) -> None:
        if not self.photo.exists():
            raise BadPhoto(f"{self.photo} does not exist")

    def _check_learning(self) -> None:
        if self.steps is None and not self.settings:
            return
        if self.adapter is not None:
            raise BadConfig(
                "--adapter has already learnt the picture, so training settings (--steps, --set) have no effect; leave"
                " them out"
            )
        if self.method == NOTHING:
            raise BadConfig(
                "--method none learns nothing, so training settings (--steps, --set) have no effect; leave them out"
            )

    def _check_settings(self) -> None:
        _ = self.config

    def _check_words(self) -> None:
        if not self.source.strip():
            raise BadConfig("the source prompt is empty; describe the picture: --source 'a red robot on the beach'")
        if not self.target.strip():
            raise BadConfig("the target prompt is empty; say what it should show: --target 'a red robot in the snow'")

    def check_output(self) -> None:
        """Refuse a folder that cannot be written, or holds an edit that is not to be replaced."""
        from portraitist.generation.edit_files import check_folder

        check_folder(self.output, self.overwrite)
