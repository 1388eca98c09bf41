"""A recipe: everything that decides a training run, from a named file, a file of the user's, and overrides."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portraitist.adapters.layouts import get_layout
from portraitist.errors import BadConfig
from portraitist.reading import parse_yaml, read_yaml
from portraitist.training.recipes.aliases import ALIASES
from portraitist.training.recipes.groups import (
    DropoutSettings,
    LogSettings,
    MemorySettings,
    OptimizerSettings,
    PhotoSettings,
    ScheduleName,
    ScheduleSettings,
    WatchSettings,
)
from portraitist.training.recipes.shipped import list_recipes, recipe_text
from portraitist.wrong_values import first_wrong_value

# Values of method settings that mean tokens known only with the base and the subject.
PLACEHOLDERS = ("{token}", "{class}")

# Settings that need the photos of one subject, and those that need several subjects.
FOR_ONE_SUBJECT = ("watch.every", "photos.crops", "photos.buckets", "photos.captions", "photos.masks")
FOR_SEVERAL_SUBJECTS = ("cut_mix", "unmix_weight")

PriorKind = Literal["none", "generated", "given", "base"]
Precision = Literal["no", "bf16", "fp16"]
CollageFit = Literal["crop", "shrink"]
DEFAULT_METHOD = "lora"


class Recipe(BaseModel):
    """Settings of one personalisation run.

    The resolved recipe is stored in the adapter file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = Field(description="parameter space: a name of `portraitist methods`, or several joined with +")
    method_config: dict[str, Any] = Field(
        default_factory=dict, description="settings of the method, e.g. rank; with several methods, by their names"
    )
    layers: str | tuple[str, ...] = Field(
        description="a layer set of the base's family, or several, or patterns on component.module.path"
    )
    steps: int = Field(gt=0, description="optimiser steps")
    batch_size: int = Field(gt=0, description="photos per step")
    accumulate: int = Field(1, gt=0, description="micro-batches summed into one step")
    learning_rate: float = Field(gt=0, description="learning rate of the denoiser's parameters")
    text_learning_rate: float | None = Field(
        None, gt=0, description="learning rate of the text encoder's; the denoiser's when absent"
    )
    norm_learning_rate: float | None = Field(
        None, gt=0, description="learning rate of the shifts of norms; that of their component when absent"
    )
    optimizer: OptimizerSettings = Field(OptimizerSettings(), description="how parameters are stepped")
    schedule: ScheduleName = Field("constant", description="learning-rate schedule of diffusers")
    schedule_options: ScheduleSettings = Field(
        default_factory=ScheduleSettings, description="further settings of some schedules"
    )
    warmup_steps: int = Field(0, ge=0, description="warm-up steps of the schedule")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    max_gradient_norm: float = Field(1.0, gt=0, description="global norm that gradients are clipped to")
    average_decay: float = Field(0.0, ge=0, lt=1, description="decay of the averaged adapter; 0 keeps none")
    min_snr_gamma: float | None = Field(None, gt=0, description="min-SNR loss weighting; none when absent")
    noise_offset: float = Field(
        0.0, ge=0, description="noise shared by all pixels of a channel, for very dark or bright pictures; 0.05 to 0.1"
    )
    dropout: DropoutSettings = Field(
        DropoutSettings(), description="what of the adapter is left out of a step at random"
    )
    photos: PhotoSettings = Field(PhotoSettings(), description="what is made of each photo")
    mirror: bool = Field(False, description="also train on mirrored photos")
    prompt: str = Field("a photo of {}", description="training prompt; {} becomes token and class noun")
    class_prompt: str = Field("a photo of {}", description="prompt of prior images; {} becomes the class noun")
    prior: PriorKind = Field(
        "none",
        description="prior preservation: none; generated: with images from the base; given: with those in prior_folder;"
        " base: without images, by what the base predicts with the adapter switched off",
    )
    prior_folder: str | None = Field(None, description="folder of class images, for the given prior")
    prior_weight: float = Field(1.0, ge=0, description="weight of the prior term")
    prior_images: int = Field(100, gt=0, description="class images generated once per base and class")
    prior_unprompted: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the class images that the base generates without a prompt, and that are trained without"
        " one: what guidance leads away from then stays the base's",
    )
    cut_mix: float = Field(0.0, ge=0, le=1, description="several subjects: share of samples that are collages of two")
    cut_mix_fit: CollageFit = Field(
        "crop", description="how a picture is fitted into its half: crop its middle, or shrink all of it"
    )
    unmix_weight: float = Field(
        0.0, ge=0, description="weight of the loss on a token's attention to the other subject's half"
    )
    unmix_layers: tuple[str, ...] = Field(("*",), description="patterns on the cross-attention modules it uses")
    unmix_largest_map: int = Field(32, gt=0, description="longest side of the attention maps it uses")
    unmix_class: bool = Field(False, description="whether class nouns count too")
    precision: Precision = Field("no", description="autocast precision; the adapter's parameters stay float32")
    memory: MemorySettings = Field(MemorySettings(), description="trading time for memory")
    watch: WatchSettings = Field(WatchSettings(), description="knowing when it is good")
    log: LogSettings = Field(LogSettings(), description="what a run leaves behind")
    seed: int = Field(0, description="seed of everything random in the run")

    def decisive(self) -> dict[str, Any]:
        """Return the settings that decide what a run learns, as JSON holds them: all but what it leaves behind."""
        return self.model_dump(mode="json", exclude={"log"})

    def refuse(self, names: Sequence[str], reason: str) -> None:
        """Refuse settings that a way of training has no use for, rather than passing over them.

        Args:
            names: Settings that are off when 0, false or ``none``; dotted in groups.
            reason: Why they have no effect, e.g. ``needs several subjects``.

        Raises:
            BadConfig: Naming the first that is on.
        """
        for name in names:
            value: Any = reduce(getattr, name.split("."), self)
            if value and value != "none":
                raise BadConfig(f"{name}={value} {reason}; leave it out")

    def replace(self, overrides: Mapping[str, Any]) -> "Recipe":
        """Return a recipe with other values; settings in groups are merged.

        Raises:
            BadConfig: On an unknown name, with the nearest valid one, or a bad value.
        """
        return parse_recipe(_merged(self.model_dump(), overrides), "the recipe")


def parse_recipe(values: Mapping[str, Any], where: str) -> Recipe:
    """Check plain values and build a recipe.

    Raises:
        BadConfig: Naming the setting, what is wrong with it and the nearest valid name.
    """
    for name in values:
        if name not in Recipe.model_fields:
            near = [ALIASES[name]] if name in ALIASES else get_close_matches(name, Recipe.model_fields, 1)
            raise BadConfig(f"{where}: there is no setting {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise BadConfig(f"{where}: {first_wrong_value(error, Recipe)}") from error
    if not _has_placeholder(recipe.method_config):
        get_layout(recipe.method).parse_config(recipe.method_config)
    for name in ("prompt", "class_prompt"):
        if getattr(recipe, name).count("{}") != 1:
            raise BadConfig(f"{where}: {name} must contain {{}} exactly once, for the subject")
    for prompt in (*recipe.watch.prompts, *recipe.log.sample_prompts):
        if prompt.count("{}") != 1:
            raise BadConfig(f"{where}: the prompt {prompt!r} must contain {{}} exactly once, for the subject")
    if (recipe.prior == "given") != (recipe.prior_folder is not None):
        raise BadConfig(
            f"{where}: prior=given needs prior_folder, which no other prior takes: --set prior=given --set"
            " prior_folder=FOLDER"
        )
    return recipe


def load_recipe(
    method: str | None,
    base: str,
    family: str,
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Recipe:
    """Resolve a recipe: the named one for the base (or its family), then the user's file, then overrides.

    Args:
        method: The method; when None the one the file names, or LoRA.
        base: Name of the base.
        family: Name of its family.
        file: The user's settings.
        overrides: Settings above all others.

    Raises:
        BadConfig: If there is no recipe for the method and the file gives none either, or a setting is wrong.
    """
    own = _read_file(file) if file else {}
    method = method or str(own.get("method", DEFAULT_METHOD))
    get_layout(method)
    if own.get("method", method) != method:
        raise BadConfig(f"{file} is a recipe for {own['method']}, not for {method}")
    values: dict[str, Any] = {}
    for folder in (base, family):
        if f"{folder}/{method}" in list_recipes():
            values = {"method": method, **parse_yaml(recipe_text(f"{folder}/{method}"))}
            break
    if not values and not own:
        raise BadConfig(f"no recipe for {method} on {base}; there are: {', '.join(list_recipes())}")
    for layer in (own, overrides or {}):
        values = _merged({"method_config": {}, **values}, {**layer, "method_config": _settings(layer)})
    return parse_recipe({"method": method, **values}, str(file or f"recipe {method}"))


def _has_placeholder(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_placeholder, value.values()))
    return isinstance(value, str) and value in PLACEHOLDERS


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Put settings above others; settings in groups are merged group by group."""
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, Mapping) and isinstance(below.get(name), Mapping)
        merged[name] = _merged(below[name], value) if both else value
    return merged


def _settings(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a layer's settings of the method."""
    settings = values.get("method_config") or {}
    if not isinstance(settings, Mapping):
        raise BadConfig(f"method_config must contain `name: value` lines, such as rank: 8, not {settings!r}")
    return settings


def _read_file(path: Path) -> dict[str, Any]:
    content = read_yaml(path, "recipe")
    if not isinstance(content, dict):
        raise BadConfig(f"{path} must contain settings as `name: value` lines")
    return {str(name): value for name, value in content.items()}
