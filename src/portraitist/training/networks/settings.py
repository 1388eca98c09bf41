"""Settings that training any network takes, and those of a work of several stages, from one YAML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portraitist.errors import BadConfig
from portraitist.reading import read_yaml
from portraitist.training.loop.contracts import LoopConfig
from portraitist.training.networks.machine import Machine
from portraitist.wrong_values import first_wrong_value


class SettingsSection(BaseModel):
    """A section of a configuration: unknown names are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSettings(SettingsSection):
    """How a network is trained.

    Attributes:
        steps: Optimiser steps, unless a run is given its end by the clock.
        batch_size: Samples a step.
        optimizer: ``adamw`` or ``muon``.
        learning_rate: Peak rate.
        weight_decay: Decoupled decay of hidden matrices and convolutions.
        betas: Decay rates of AdamW's moments.
        schedule: Shape of the rate on its way.
        warmup_steps: Steps in which the rate rises.
        average_decay: Decay of the averaged weights, which are the ones kept.
        seed: Seed of the network's first weights and of every draw.
        share: Of the time of a command that trains several networks, against theirs.
    """

    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    schedule: Literal["constant_with_warmup", "cosine", "linear", "cooldown"] = "cosine"
    warmup_steps: int = Field(100, ge=0)
    average_decay: float = Field(0.999, ge=0, lt=1)
    seed: int
    share: float = Field(1.0, gt=0)


class StagesConfig(SettingsSection):
    """Every setting of a work of several stages, a section each."""

    def shares(self) -> dict[str, float]:
        """Return by stage its share of the time of a command that trains several."""
        sections = {name.replace("_", "-"): getattr(self, name) for name in type(self).model_fields}
        return {name: section.share for name, section in sections.items() if isinstance(section, NetworkSettings)}


AnySettings = TypeVar("AnySettings", bound=BaseModel)
AnyStagesConfig = TypeVar("AnyStagesConfig", bound=StagesConfig)


def build_settings(kind: type[AnySettings], values: Any, where: str) -> AnySettings:
    """Build settings from plain values.

    Args:
        kind: Their class.
        values: The values.
        where: Where they stand, for what is said of a wrong one.

    Raises:
        BadConfig: If a setting is unknown, missing or of the wrong kind, naming it and where it stands.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise BadConfig(f"{where}: {first_wrong_value(error, kind)}") from error


def read_stages_config(
    kind: type[AnyStagesConfig], path: Path, wanted: str, changes: Mapping[str, Any] | None = None
) -> AnyStagesConfig:
    """Read a configuration file.

    Args:
        kind: The configuration's class.
        path: The file.
        wanted: What it should be, e.g. ``toyland configuration``.
        changes: Settings that differ from it, by section.

    Raises:
        BadConfig: If the file is missing, not YAML, or a setting is unknown, missing or of the wrong kind.
    """
    sections = read_yaml(path, wanted)
    if not isinstance(sections, dict):
        raise BadConfig(f"{path} must hold sections such as `{next(iter(kind.model_fields))}:`")
    for name, values in (changes or {}).items():
        is_section = isinstance(values, Mapping) and isinstance(sections.get(name), Mapping)
        sections[name] = {**sections[name], **values} if is_section else values
    return build_settings(kind, sections, path.name)


def loop_config(settings: NetworkSettings, machine: Machine, seconds: float | None = None) -> LoopConfig:
    """Return the loop's settings; a run that is given seconds ends with them, however many steps it takes."""
    return LoopConfig(
        steps=settings.steps if seconds is None else None,
        seconds=seconds,
        schedule=settings.schedule,
        warmup_steps=settings.warmup_steps,
        optimizer=settings.optimizer,
        betas=settings.betas,
        average_decay=settings.average_decay,
        precision=machine.precision,
        checkpoint_seconds=machine.checkpoint_seconds,
        log_every=100,
    )
