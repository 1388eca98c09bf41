"""A training run of an adapter around its loop: what every way of training does before and after it."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from portraitist.adapters import Adapter, Attachment, load_adapter, save_adapter
from portraitist.adapters.files import is_usable
from portraitist.bases import Base
from portraitist.bases.precision import quick_float32
from portraitist.errors import BadFile, TrainingDiverged, UnwritableFolder
from portraitist.files import require_writable
from portraitist.training.along_the_way import AlongTheWay
from portraitist.training.denoising import trains_text
from portraitist.training.dropout import WithDropout
from portraitist.training.loop.contracts import Callback, LoopConfig, Outcome
from portraitist.training.loop.interrupts import Stop
from portraitist.training.loop.journal import Journal
from portraitist.training.loop.loop import Loop
from portraitist.training.loop.processes import Processes
from portraitist.training.memory import Offload, checkpointed
from portraitist.training.outputs import check_output, is_finished, locked, remove_run, run_folder, step_file
from portraitist.training.recipes import Recipe
from portraitist.training.starting import start_from
from portraitist.training.tasks import AdapterTask
from portraitist.training.watching.fixed_noise import affordable_samples, before_and_after
from portraitist.training.watching.judging import SampleSheets
from portraitist.training.watching.watching import Evaluate, SubjectWatch

_FLOAT32 = 4
_LOG_EVERY = 10  # steps


class Run:
    """A run whose output is checked and whose adapter is ready to be trained; `fit` trains a task on it.

    Args:
        base: The frozen base; it is left as found.
        recipe: Everything that decides the run.
        make_adapter: Makes the untrained adapter, once it is known that it can be written.
        output: Adapter file to write. Checkpoints go into the folder ``<output>.run`` beside it until it is written.
        resume: Continue an interrupted run of the same settings.
        overwrite: Replace an adapter file or an interrupted run that is there.
        start: An adapter, or its file, whose values are the first ones.
        callbacks: Called with the number of completed steps.
        stop: Set from elsewhere, it ends the run after the step in hand.

    Attributes:
        adapter: The adapter, not attached yet.
        pictures: Folder of curves and sheets; None if none are kept, or another process writes.
        offload: Keeps parts of the base away while it is trained.

    Raises:
        PortraitistError: If the output cannot be written, or the run cannot start from what it should; in one line.
    """

    def __init__(
        self,
        base: Base,
        recipe: Recipe,
        make_adapter: Callable[[], Adapter],
        *,
        output: str | Path | None = None,
        resume: bool = False,
        overwrite: bool = False,
        start: str | Path | Adapter | None = None,
        callbacks: Sequence[Callback] = (),
        stop: Stop | None = None,
    ) -> None:
        self.base, self.recipe, self.resume, self.overwrite = base, recipe, resume, overwrite
        self.callbacks, self.stop = callbacks, stop
        self.output = check_output(output, resume, overwrite)
        self._is_finished = resume and self.output is not None and is_finished(self.output)
        self.adapter = make_adapter()
        if start is not None:
            start_from(self.adapter, start, base)
        if base.bits is not None:  # methods that read weights are refused now, not after class images were made
            Attachment(base.components).attach(self.adapter).detach()
        _require_room(self.output, self.adapter)
        self._folder = None if self.output is None else run_folder(self.output)
        self.pictures = self._folder if Processes.current().is_first else None
        self._journal = _open_journal(recipe, self._folder)
        self.offload = Offload(base, recipe.memory, trains_text(base, self.adapter))

    def fit(
        self, task: AdapterTask, description: str, *, prompts: Sequence[str] = (), watch: SubjectWatch | None = None
    ) -> Adapter:
        """Train a task, note it in the adapter and write its file; the base is left as found.

        Args:
            task: Its parameters are the adapter's.
            description: What the progress bar says.
            prompts: What sheets of sample pictures show, if the recipe wants sheets.
            watch: What says which step is kept.
        """
        written = self.output if Processes.current().is_first else None
        with nullcontext() if written is None else locked(written):
            check_output(written, self.resume, self.overwrite)  # again, as another run may have ended since
            if not self._is_finished:
                self._train(task, description, prompts, watch)
                self._write(written)
            if written is not None:
                remove_run(written, keep_log=self.recipe.log.keep)
        Processes.current().wait()
        return load_adapter(self.output) if self.output is not None and self._is_finished else self.adapter

    def _train(self, task: AdapterTask, description: str, prompts: Sequence[str], watch: SubjectWatch | None) -> None:
        base, recipe, adapter = self.base, self.recipe, self.adapter
        attachment = Attachment(base.components).attach(adapter)
        if recipe.dropout.is_on:
            task = WithDropout(task, recipe)
        try:
            task.attached(attachment)
            loop = Loop(
                task,
                loop_config(recipe, base),
                self._folder,
                self.callbacks,
                description=description,
                journal=self._journal,
                watch=watch,
                stop=self.stop,
            )
            if recipe.log.samples_every and self.pictures is not None:
                sheets = SampleSheets(base, prompts, recipe, self.pictures, self.offload.awake, loop.averaged)
                loop.callbacks = [*loop.callbacks, sheets]
            if recipe.log.save_every and self.pictures is not None:
                loop.callbacks = [
                    *loop.callbacks,
                    AlongTheWay(adapter, recipe.log, self.pictures, loop.averaged),
                ]
            samples = affordable_samples(recipe)
            fixed_noise = [task.fixed_noise(samples)] if samples else []
            with checkpointed(base, recipe.memory), self.offload.away(), quick_float32(base.device):
                # Resumed or not: the checkpoint is not read yet, and the adapter is as it was first.
                before = _measure(loop, [*fixed_noise, *([watch.validate] if watch else [])])
                outcome = loop.run(resume=self.resume)
                loop.keep()
                after = _measure(loop, [*fixed_noise, *([watch.kept_validation] if watch else [])])
        except TrainingDiverged as error:
            raise self._rescued(error, loop) from error
        finally:
            attachment.detach()
        losses = before_and_after(before, after)
        if losses:
            self._journal.write({"step": outcome.steps, **losses})
        self._journal.close()
        for parameter in adapter.named_parameters().values():
            parameter.requires_grad_(False)
        adapter.provenance.facts["training"] = _summary(outcome, watch) | losses

    def _write(self, output: Path | None) -> None:
        """Write the adapter's file, if there is to be one; where that fails, the checkpoints wait for another try."""
        if output is None:
            return
        try:
            save_adapter(self.adapter, output, replace=self.overwrite)
        except UnwritableFolder as error:
            kept = f"the trained run is kept in {self._folder}"
            if isinstance(error.__cause__, FileExistsError):
                raise BadFile(
                    f"{output} appeared while this run trained; {kept}: move the file away and use --resume, or"
                    " use --resume --overwrite"
                ) from error
            raise UnwritableFolder(f"{error}; {kept}, and --resume writes the file") from error

    def _rescued(self, error: TrainingDiverged, loop: Loop) -> TrainingDiverged:
        """Write what is worth keeping of a run that diverged as an adapter into its folder, and say where it is."""
        step = loop.rescue() if self._folder is not None else None
        if self._folder is None or step is None or not all(map(is_usable, self.adapter.named_parameters().values())):
            return TrainingDiverged(error.step, error.what)
        file = step_file(self._folder, step)
        if Processes.current().is_first:
            self.adapter.provenance.facts["training"] = {"steps": step, "seconds": round(loop.seconds, 1)}
            save_adapter(self.adapter, file)
        return TrainingDiverged(error.step, error.what, f"the adapter from step {step} is in {file}")


def _measure(loop: Loop, measures: Sequence[Evaluate]) -> dict[str, float]:
    """Measure the adapter as it is."""
    with torch.no_grad(), loop.autocast():
        return {name: value for measure in measures for name, value in measure().items()}


def _summary(outcome: Outcome, watch: SubjectWatch | None) -> dict[str, Any]:
    """Return what an adapter's file tells about its training."""
    summary: dict[str, Any] = {"steps": outcome.steps, "seconds": round(outcome.seconds, 1)}
    if outcome.kept is not None and watch is not None:
        share = outcome.watch_seconds / max(outcome.seconds, 1e-9)
        summary |= {"kept_step": outcome.kept, "kept_by": watch.rule, "watch_share": round(share, 3)}
    return summary


def _open_journal(recipe: Recipe, folder: Path | None) -> Journal:
    """Return the run's journal; only the first of several processes writes."""
    if not Processes.current().is_first:
        return Journal(None)
    return Journal(folder, recipe.log.trackers, recipe.model_dump(mode="json"))


def _require_room(output: Path | None, adapter: Adapter) -> None:
    """Check that parameters, two moments and an average in the checkpoint, and the adapter file if any, find room.

    Raises:
        UnwritableFolder: If they do not.
    """
    if output is not None:
        require_writable(output.parent, 5 * _FLOAT32 * adapter.count())


def loop_config(recipe: Recipe, base: Base) -> LoopConfig:
    """Return the loop's part of a recipe; gradients that come through a float16 denoiser are scaled."""
    return LoopConfig(
        scale_gradients=base.family.dtype is torch.float16,
        steps=recipe.steps,
        accumulate=recipe.accumulate,
        schedule=recipe.schedule,
        warmup_steps=recipe.warmup_steps,
        cycles=recipe.schedule_options.cycles,
        power=recipe.schedule_options.power,
        step_rules=recipe.schedule_options.rules,
        max_gradient_norm=recipe.max_gradient_norm,
        optimizer=recipe.optimizer.name,
        betas=recipe.optimizer.betas,
        epsilon=recipe.optimizer.epsilon,
        average_decay=recipe.average_decay,
        precision=recipe.precision,
        log_every=_LOG_EVERY,
    )
