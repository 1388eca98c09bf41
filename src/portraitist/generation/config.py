"""How pictures are sampled, as values; needs no torch, so that a wrong one is refused at once."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from portraitist.errors import BadConfig

if TYPE_CHECKING:
    from portraitist.bases import Base


@dataclass(frozen=True)
class SamplingConfig:
    """How pictures are sampled. What is None is as usual for the base; see `for_base`.

    Attributes:
        steps: Denoiser evaluations.
        guidance: Weight of classifier-free guidance; 1 switches it off. For models with distilled guidance, the
            number they are told.
        negative_prompt: Negative prompt: what pictures should not show.
        scheduler: ``ddim`` (eta 0), ``dpm`` (DPM-Solver++ of second order) or ``euler``, as the base's family has them.
        batch_size: Pictures sampled at once; does not change them.
    """

    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str = ""
    scheduler: str | None = None
    batch_size: int = 8

    def __post_init__(self) -> None:
        if any(number is not None and number < 1 for number in (self.steps, self.guidance, self.batch_size)):
            raise BadConfig("steps and batch size must be at least 1, guidance at least 1.0")

    def for_base(self, base: "Base") -> "SamplingConfig":
        """Return the settings with what is usual for the base filled in.

        Raises:
            BadConfig: If its family does not know the scheduler, or takes no negative prompt.
        """
        config = replace(
            self,
            steps=self.steps or base.family.sampling_steps,
            guidance=self.guidance or base.guidance,
            scheduler=self.scheduler or next(iter(base.family.samplers)),
        )
        base.family.sampler(str(config.scheduler))
        base.family.sampling_arguments([], config.negative_prompt)
        return config
