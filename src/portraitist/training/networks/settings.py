"""Settings that training any network takes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from portraitist.training.loop.contracts import LoopConfig
from portraitist.training.networks.machine import Machine


class Section(BaseModel):
    """A section of a configuration: unknown names are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSettings(Section):
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
