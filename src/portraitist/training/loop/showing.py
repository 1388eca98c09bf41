"""Where a run is, as values for whoever wants to know, and as a progress bar."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from portraitist.progress import console, track
from portraitist.training.loop.contracts import LoopConfig, Observer, Progress
from portraitist.training.loop.pace import Pace

_SLOW = (
    "warning: steps take {:.0f} times as long as the first ones did; if other programs keep the processor busy,"
    " one thread is faster than several: OMP_NUM_THREADS=1"
)


def where(
    config: LoopConfig, completed: int, elapsed: float, rate: float, losses: dict[str, float], seen: dict[str, float]
) -> Progress:
    """Return where a run is after so many steps and seconds, at so many steps a second."""
    by_steps = math.inf if config.steps is None else (config.steps - completed) / max(rate, 1e-9)
    by_clock = math.inf if config.seconds is None else config.seconds - elapsed
    share = config.progress(completed, elapsed)
    return Progress(completed, elapsed, share, rate, max(0.0, min(by_steps, by_clock)), losses, seen)


@contextmanager
def bar(config: LoopConfig, description: str, completed: int, elapsed: float, hidden: bool) -> Iterator[Observer]:
    """Yield what moves a bar on; it counts steps, or seconds where there is no last step."""
    by_clock = config.steps is None
    total = config.steps if config.steps is not None else math.ceil(config.seconds or 0)
    shown = int(elapsed) if by_clock else completed
    pace = Pace(elapsed)
    with track(total, description, completed=shown, hidden=hidden) as track_bar:

        def show(progress: Progress) -> None:
            nonlocal shown
            now = int(progress.elapsed) if by_clock else progress.step
            facts = {"step": float(progress.step), "steps/s": progress.rate} if by_clock else {}
            loss = {name: value for name, value in progress.losses.items() if name == "loss"}
            loss |= {name: value for name, value in progress.seen.items() if name == "validation"}
            track_bar.advance(now - shown, **facts, **loss)
            shown = now
            slower = pace.add(progress.elapsed)
            if slower is not None and not hidden:
                console.print(_SLOW.format(slower), style="yellow", highlight=False, soft_wrap=True)

        yield show
