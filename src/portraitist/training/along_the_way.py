"""Adapters written while they are trained, so that an earlier one can be chosen afterwards."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch

from portraitist.adapters import Adapter, Provenance, save_adapter
from portraitist.training.outputs import step_file, step_files
from portraitist.training.recipes.groups import LogSettings


class AlongTheWay:
    """A callback that writes the adapter into the run's folder every so many steps, ``step-50.safetensors``.

    Args:
        adapter: The adapter in training.
        settings: How often, and how many are kept.
        folder: The run's folder.
        averaged: Puts the averaged parameters in place for a while, where an average is kept.
    """

    def __init__(
        self,
        adapter: Adapter,
        settings: LogSettings,
        folder: Path,
        averaged: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.adapter, self.settings, self.folder, self.averaged = adapter, settings, folder, averaged

    def __call__(self, step: int) -> None:
        """Write it, if it is time, and remove those that are too many; those of later steps are of another run."""
        if step % self.settings.save_every:
            return
        facts = {**self.adapter.provenance.facts, "training": {"steps": step}}
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.averaged(), torch.no_grad():
            save_adapter(replace(self.adapter, provenance=Provenance(facts)), step_file(self.folder, step))
        if self.settings.keep_last is not None:
            earlier = [file for at, file in step_files(self.folder) if at <= step]
            for file in earlier[: -self.settings.keep_last]:
                file.unlink(missing_ok=True)
