"""What can go wrong, one clear line each: what, where, what to do. The command line prints the line and stops."""

from pathlib import Path


class PortraitistError(Exception):
    """Base of every error a user is meant to read."""


class BadConfig(PortraitistError):
    """A setting, name or combination that cannot work."""


class MissingBase(BadConfig):
    """An adapter that means nothing without its base, which was not given."""


class BadFile(PortraitistError):
    """A file that is missing, damaged, foreign or dangerous."""


class BadPhoto(PortraitistError):
    """A picture that cannot be used."""


class BaseMismatch(PortraitistError):
    """An adapter made for another base."""


class UnwritableFolder(PortraitistError):
    """A folder that cannot be written, or a disk without room."""


class InUse(PortraitistError):
    """A place in which another process works."""


class MissingExtra(PortraitistError):
    """An optional package that is not installed."""

    def __init__(self, extra: str, package: str) -> None:
        super().__init__(f'this needs the package {package}; install it with: pip install "portraitist[{extra}]"')


class WorkerLost(PortraitistError):
    """A process that was ended from outside, as when memory runs out, while it worked for this one."""


class Stopped(PortraitistError):
    """Work that was stopped on request.

    Attributes:
        done: Steps or pictures that were done.
    """

    def __init__(self, stage: str, done: int, total: int) -> None:
        self.done = done
        super().__init__(f"stopped while {stage}, after {done} of {total}")


class TrainingInterrupted(PortraitistError):
    """A run stopped on request, with a checkpoint written.

    Attributes:
        place: After which step it stopped.
        folder: Where its checkpoint is.
    """

    def __init__(self, place: str, folder: Path | None, way_on: str = "continue with --resume") -> None:
        self.place, self.folder = place, folder
        kept = f"the checkpoint is in {folder}; {way_on}" if folder else "nothing was saved"
        super().__init__(f"stopped after {place}; {kept}")


class TrainingDiverged(PortraitistError):
    """A loss or gradient that is no longer a finite number.

    Attributes:
        step: Completed optimiser steps.
        what: What is not finite.
    """

    def __init__(self, step: int, what: str = "loss", kept: str = "nothing was kept") -> None:
        self.step, self.what = step, what
        super().__init__(
            f"the {what} is not finite at step {step}; {kept}. Try a third of the learning rate, some warmup_steps, a"
            " smaller max_gradient_norm, or bf16 instead of fp16"
        )
