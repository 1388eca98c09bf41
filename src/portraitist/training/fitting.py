"""A task to a trained adapter: its loop, what becomes of it, and its file."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch

from portraitist.adapters import Adapter, Attachment, save_adapter
from portraitist.bases import Base
from portraitist.errors import TrainingDiverged
from portraitist.files import require_writable
from portraitist.training.loop.contracts import Watch
from portraitist.training.loop.journal import Journal
from portraitist.training.loop.loop import Callback, Loop, LoopConfig, Outcome, Stop, Task
from portraitist.training.loop.processes import Processes
from portraitist.training.memory import Offload, checkpointed
from portraitist.training.outputs import SUFFIX, remove_run, run_folder
from portraitist.training.recipes import Recipe

_FLOAT32 = 4


class AdapterTask(Task, Protocol):
    """A task whose parameters are an adapter's."""

    @property
    def adapter(self) -> Adapter:
        """The adapter, not attached yet."""

    def attached(self, attachment: Attachment) -> None:
        """Called once the adapter is attached, while all parts of the base are still at hand."""


def fit(
    base: Base,
    task: AdapterTask,
    recipe: Recipe,
    output: Path | None,
    *,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    stop: Stop | None = None,
    description: str = "training",
    watch: Watch | None = None,
    journal: Journal | None = None,
    offload: Offload | None = None,
) -> Adapter:
    """Run a task's training, note it in the adapter and write its file; the base is left as found."""
    adapter = task.adapter
    folder = run_folder(output) if output is not None else None
    attachment = Attachment(base.components).attach(adapter)
    try:
        task.attached(attachment)
        journal = journal or open_journal(recipe, folder)
        loop = Loop(
            task,
            loop_config(recipe, base),
            folder,
            callbacks,
            description=description,
            journal=journal,
            watch=watch,
            stop=stop,
        )
        with checkpointed(base, recipe.memory), offload.away() if offload else nullcontext():
            outcome = loop.run(resume=resume)
    except TrainingDiverged as error:
        raise _rescued(error, loop, adapter, folder) from error
    finally:
        attachment.detach()
    loop.keep()
    for parameter in adapter.named_parameters().values():
        parameter.requires_grad_(False)
    adapter.provenance.facts["training"] = _summary(outcome)
    if output is not None and Processes.current().is_first:
        save_adapter(adapter, output)
        remove_run(output)
    Processes.current().wait()
    return adapter


def _rescued(error: TrainingDiverged, loop: Loop, adapter: Adapter, folder: Path | None) -> TrainingDiverged:
    """Write what is worth keeping of a run that diverged as an adapter into its folder, and say where it is."""
    step = loop.rescue() if folder is not None else None
    if folder is None or step is None:
        return TrainingDiverged(error.step, error.what)
    file = folder / f"step-{step}{SUFFIX}"
    if Processes.current().is_first:
        adapter.provenance.facts["training"] = {"steps": step, "seconds": round(loop.seconds, 1)}
        save_adapter(adapter, file)
    return TrainingDiverged(error.step, error.what, f"the adapter as it was after step {step} is in {file}")


def _summary(outcome: Outcome) -> dict[str, Any]:
    """Return what an adapter's file tells about its training."""
    summary: dict[str, Any] = {"steps": outcome.steps, "seconds": round(outcome.seconds, 1)}
    if outcome.kept is not None:
        share = outcome.watch_seconds / max(outcome.seconds, 1e-9)
        summary |= {"kept_step": outcome.kept, "watch_share": round(share, 3)}
    return summary


def open_journal(recipe: Recipe, folder: Path | None) -> Journal:
    """Return the run's journal; only the first of several processes writes."""
    if not Processes.current().is_first:
        return Journal(None)
    return Journal(folder, recipe.log.trackers, recipe.model_dump(mode="json"))


def require_room(output: Path | None, adapter: Adapter) -> None:
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
        log_every=10,
    )
