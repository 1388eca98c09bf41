"""Carrying out an `EditRequest`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from portraitist.adapters import Adapter
from portraitist.exchange.loading import load_for
from portraitist.generation.edit_files import save_edit
from portraitist.generation.editing import Edited, edit
from portraitist.generation.inversion import Ddim
from portraitist.generation.prompt_fidelity import source_warnings
from portraitist.locks import held
from portraitist.requests.advice import Advice
from portraitist.requests.edit import ADAPTER, EditRequest
from portraitist.requests.handle import Handle
from portraitist.requests.jobs.job import Job
from portraitist.requests.jobs.opening import open_base
from portraitist.requests.value import Value
from portraitist.training.outputs import check_output
from portraitist.training.recipes import Recipe
from portraitist.training.single_image import single_image_recipe, teach_picture
from portraitist.training.subjects import read_photo

# Beyond this, the picture that comes back is visibly another one.
_DRIFTED = 0.05
# An inversion is solved to digits that half precisions have not.
_PRECISION = "fp32"


class EditPlan(Value):
    """What an edit will do.

    Attributes:
        base: The base's name.
        precision: What it is held in, e.g. ``float32``.
        recipe: How the picture is learnt; None if it is not.
        sampling_steps: DDIM steps.
        strength: How much structure may change.
        results: How many results.
    """

    base: str
    precision: str
    recipe: Recipe | None
    sampling_steps: int
    strength: float
    results: int


class EditOutcome(Value):
    """What came of an edit.

    Attributes:
        results: Paths of the pictures, one a seed.
        sheet: Path of a sheet with before and after.
        adapter: Path of what was learnt from the picture; None if nothing was.
        drift: Relative error of the picture that the inversion leads back to; None without inversion.
        evaluations: Denoiser evaluations of the inversion.
        advice: What may disappoint about the results.
    """

    results: tuple[Path, ...]
    sheet: Path
    adapter: Path | None
    drift: float | None
    evaluations: int
    advice: tuple[Advice, ...]


class EditJob(Job[EditPlan, EditOutcome]):
    """An edit whose base is loaded, whose picture is read and whose recipe is settled.

    Args:
        request: What is asked.

    Raises:
        PortraitistError: If it cannot be done, in one line.
    """

    def __init__(self, request: EditRequest) -> None:
        request.check()
        self.request, self.config = request, request.config
        choice = request.base.model_copy(update={"precision": request.base.precision or _PRECISION})
        self.base, notes = open_base(choice, [request.adapter] if request.adapter else [])
        self.advice = [*request.hints(), *notes]
        Ddim(self.base, self.config.steps)  # refuses what cannot be inverted before anything is learnt
        self.picture = read_photo(request.photo, self.base.family.resolution, request.fit)  # type: ignore[arg-type]
        self.learnt = load_for(self.base, request.adapter) if request.adapter else None
        self.file = request.output / ADAPTER
        recipe = single_image_recipe(request.method, self.base, request.learning) if request.learns else None
        if recipe is not None:
            check_output(self.file, request.resume, request.overwrite)
        if request.check_prompts:
            lines = source_warnings(self.base, self.picture, request.source, request.target)
            self.advice += [Advice.of(line) for line in lines]
        self.plan = EditPlan(
            base=self.base.name,
            precision=self.base.precision,
            recipe=recipe,
            sampling_steps=self.config.steps,
            strength=self.config.resolved_strength,
            results=request.count,
        )

    def run(self, handle: Handle | None = None) -> EditOutcome:
        """Learn the picture if that is asked, edit it, write the results, and return what came of it.

        Raises:
            InUse: If another process edits into the folder.
            TrainingInterrupted: If the handle asked to stop while the picture was learnt, or on Ctrl-C.
        """
        with held(self.request.output, "an edit", instead="choose another folder with -o"):
            self.request.check_output()  # again, as another edit may have been written since
            return self._run(handle or Handle())

    def _run(self, handle: Handle) -> EditOutcome:
        request, count = self.request, self.request.count
        adapter = self._learn(self.plan.recipe, handle) if self.plan.recipe is not None else self.learnt
        adapter = adapter.to(self.base.device) if adapter else None
        handle.report("editing", 0, count)
        seeds = [request.seed + index for index in range(count)]
        edited = edit(self.base, self.picture, request.source, request.target, adapter, seeds=seeds, config=self.config)
        files = save_edit(
            edited,
            self.picture,
            request.source,
            request.target,
            request.output,
            seeds=seeds,
            facts=self._facts(adapter),
        )
        handle.report("editing", count, count)
        return EditOutcome(
            results=files.results,
            sheet=files.sheet,
            adapter=self.file if self.plan.recipe is not None else None,
            drift=edited.drift if self.config.inversion else None,
            evaluations=edited.evaluations,
            advice=tuple(self._advise(edited)),
        )

    def _learn(self, recipe: Recipe, handle: Handle) -> Adapter:
        """Learn the picture."""
        request = self.request
        return teach_picture(
            self.base,
            self.picture,
            request.source,
            recipe,
            output=self.file,
            resume=request.resume,
            overwrite=request.overwrite,
            callbacks=[lambda step: handle.tell("learning", step, recipe.steps)],
            stop=handle.stopping,
        )

    def _facts(self, adapter: Adapter | None) -> dict[str, Any]:
        """Return what an edit's file says beside its prompts."""
        return {
            "photo": self.request.photo.name,
            "base": {"name": self.base.name, "fingerprint": self.base.fingerprint},
            "config": {**asdict(self.config), "strength": self.config.resolved_strength},
            "recipe": None if adapter is None else adapter.provenance.facts.get("recipe"),
        }

    def _advise(self, edited: Edited) -> list[Advice]:
        if not self.config.inversion or edited.drift is None or edited.drift <= _DRIFTED:
            return []
        line = (
            f"the inversion does not lead back to the picture (relative error {edited.drift:.2g}); raise --refinements"
            " or --sampling-steps"
        )
        return [Advice.of(line)]
