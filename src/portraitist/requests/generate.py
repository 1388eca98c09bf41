"""What `portraitist generate` is asked: prompts and adapters to pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from portraitist.errors import BadConfig
from portraitist.files import require_writable
from portraitist.requests.advice import Advice
from portraitist.requests.bases import check_base
from portraitist.requests.choices import AdapterChoice, BaseChoice, RegionChoice, check_adapter, name_files
from portraitist.requests.request import Request, Rule

if TYPE_CHECKING:
    from portraitist.generation import SamplingConfig


class GenerateRequest(Request):
    """Make pictures of prompts, with any adapters.

    Attributes:
        prompts: What to show.
        adapters: What acts on the whole of the pictures.
        regions: Parts of the pictures with words, and perhaps adapters, of their own.
        base: The base.
        count: Pictures of each prompt.
        seed: Seed of the first picture; the next ones count up.
        plain_seed: Draw the starting noise from the seed as other programs do.
        steps: Sampling steps; None for the default.
        guidance: Weight of classifier-free guidance; None for what is usual.
        negative: Negative prompt: what pictures should not show.
        scheduler: ``dpm``, ``ddim`` or ``euler``; None for the base's usual one.
        output: Folder of the pictures.
        force: Use adapters that were made for another base.
    """

    prompts: tuple[str, ...]
    adapters: tuple[AdapterChoice, ...] = ()
    regions: tuple[RegionChoice, ...] = ()
    base: BaseChoice = BaseChoice()
    count: int = Field(4, ge=1)
    seed: int = Field(0, ge=0)
    plain_seed: bool = False
    steps: int | None = None
    guidance: float | None = None
    negative: str | None = None
    scheduler: str | None = None
    output: Path = Path("pictures")
    force: bool = False

    @property
    def all_adapters(self) -> tuple[AdapterChoice, ...]:
        """Return the adapters with those that only regions name."""
        found = list(self.adapters)
        for region in self.regions:
            if region.adapter is not None and region.adapter.file not in [each.file for each in found]:
                found.append(region.adapter)
        return tuple(found)

    @property
    def names(self) -> dict[Path, str]:
        """Return a name for each adapter file.

        Raises:
            BadConfig: If one is given twice.
        """
        return name_files([each.file for each in self.all_adapters])

    @property
    def config(self) -> "SamplingConfig":
        """Return how to sample.

        Raises:
            BadConfig: If a setting cannot work.
        """
        from portraitist.generation import SamplingConfig

        settings = {
            "steps": self.steps,
            "guidance": self.guidance,
            "negative_prompt": self.negative,
            "scheduler": self.scheduler,
        }
        given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
        return SamplingConfig(**given)

    def rules(self) -> Sequence[Rule]:
        """Return what must hold of prompts, adapters, base and output."""
        return (
            self._check_prompts,
            lambda: check_base(self.base),
            self._check_settings,
            self._check_adapters,
            lambda: require_writable(self.output),
        )

    def hints(self) -> list[Advice]:
        """Say what of the prompts other programs would read as more than words."""
        from portraitist.generation.prompts import syntax_warnings

        prompts = dict.fromkeys((*self.prompts, *(region.prompt for region in self.regions)))
        return [Advice.of(line) for prompt in prompts for line in syntax_warnings(prompt)]

    def _check_settings(self) -> None:
        _ = self.config

    def _check_adapters(self) -> None:
        for path in self.names:
            check_adapter(path)

    def _check_prompts(self) -> None:
        if not self.prompts:
            raise BadConfig("there is no prompt; say what the pictures should show")
