"""Settings of a recipe that belong together; each group has usable defaults, so a recipe names only what differs."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

OptimizerName = Literal["adamw", "adamw8bit", "prodigy", "prodigy-plus"]
ScheduleName = Literal[
    "constant",
    "constant_with_warmup",
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "piecewise_constant",
]
Decay = Annotated[float, Field(ge=0, lt=1)]


class Group(BaseModel):
    """A group: unknown names are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimizerSettings(Group):
    """How parameters are stepped."""

    name: OptimizerName = Field(
        "adamw",
        description="adamw; adamw8bit (arXiv 2110.02861); prodigy (arXiv 2306.06101) and prodigy-plus find the rate"
        " themselves: set learning_rate to 1",
    )
    betas: tuple[Decay, Decay] = Field((0.9, 0.999), description="decay rates of the moments; diffusers' scripts")
    epsilon: float = Field(1e-8, gt=0, description="keeps divisions finite; diffusers' scripts")


class ScheduleSettings(Group):
    """What some schedules of diffusers want to know beside the warm-up."""

    cycles: int = Field(1, gt=0, description="of cosine_with_restarts: how often it falls")
    power: float = Field(1.0, gt=0, description="of polynomial; 1 is a straight line, as in diffusers")
    rules: str | None = Field(
        None, description="of piecewise_constant: factor:until_step, ..., last factor, e.g. 1:100,0.1:300,0.01"
    )


class DropoutSettings(Group):
    """What of the adapter is left out of a training step at random; off unless asked for."""

    branch: float = Field(
        0.0, ge=0, lt=1, description="share of the numbers of the adapter's change of a layer's output; the rest grows"
    )
    layers: float = Field(0.0, ge=0, lt=1, description="share of the layers, whose whole change is left out")

    @property
    def is_on(self) -> bool:
        """Say whether anything is left out."""
        return self.branch > 0 or self.layers > 0


class PhotoSettings(Group):
    """What is made of each photo."""

    crops: int = Field(
        0, ge=0, description="random crops per photo, encoded once, in addition to the whole photo; 4 works well"
    )
    smallest_crop: float = Field(
        0.75,
        gt=0,
        le=1,
        description="shorter side of a crop, as a fraction of the photo's; smaller crops cut subjects up",
    )
    buckets: bool = Field(
        False, description="keep photos in their shape, in sizes of about the base's area (NovelAI's buckets)"
    )
    captions: bool = Field(False, description="train with the caption in photo.txt or photo.caption beside a photo")
    masks: bool = Field(False, description="learn only where photo.mask.png beside a photo is white")
    mask_floor: float = Field(
        0.1, ge=0, le=1, description="loss weight outside the mask; with 0 anything may appear there"
    )


class WatchSettings(Group):
    """Knowing when it is good, while it is trained (docs/training.md)."""

    every: int = Field(
        0, ge=0, description="optimiser steps between two evaluations, or a multiple of it; 0 switches watching off"
    )
    time_share: float = Field(
        0.1, gt=0, le=1, description="extra work that evaluations may cost, as a fraction of the training's own"
    )
    held_out: int | None = Field(
        None, ge=0, description="photos held out of training; by default one of four or more, otherwise crops stand in"
    )
    samples: int = Field(64, gt=0, description="noised pictures per validation loss, as far as time allows")
    prompts: tuple[str, ...] = Field(
        ("a photo of a {} on the beach", "a photo of a {} in the snow", "a painting of a {}", "a {} on a city street"),
        description="prompts whose pictures are scored with encoders, only the first ones if time is short; {} becomes"
        " the subject",
    )
    sampling_steps: int = Field(
        12, gt=0, description="maximum denoiser evaluations per picture; enough to tell subjects apart"
    )
    subject_encoder: str | None = Field(None, description="image encoder that measures likeness, e.g. a DINO folder")
    prompt_encoder: str | None = Field(None, description="encoder of pictures and texts, e.g. a CLIP folder")
    patience: int = Field(3, gt=0, description="evaluations without a new best after which a curve is past its best")
    stop: bool = Field(True, description="stop when every curve is past its best")


class LogSettings(Group):
    """What a run leaves behind beside its adapter; the JSON lines are always written while it runs."""

    keep: bool = Field(False, description="keep the log in the run's folder, beside the adapter, when it is finished")
    save_every: int = Field(
        0, ge=0, description="steps between two adapters written into the run's folder along the way; 0 for none"
    )
    keep_last: int | None = Field(
        None, gt=0, description="of the adapters along the way, how many are kept, newest first; all when absent"
    )
    trackers: tuple[str, ...] = Field((), description="names of accelerate's trackers, e.g. tensorboard, wandb")
    samples_every: int = Field(
        0, ge=0, description="steps between two sheets of pictures in the run's folder; 0 for none"
    )
    sample_prompts: tuple[str, ...] = Field(("a photo of a {}",), description="prompts on the sheets, one picture each")
    sampling_steps: int = Field(20, gt=0, description="denoiser evaluations per picture")


class MemorySettings(Group):
    """Trading time for memory."""

    checkpoint_activations: bool = Field(
        False, description="recompute activations in the backward pass (arXiv 1604.06174); takes a third more time"
    )
    offload: bool = Field(
        False,
        description="keep autoencoder and text encoders (unless trained) on the CPU once all is encoded",
    )
