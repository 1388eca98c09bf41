"""A study: a hypothesis, and the grids of runs that test it, read from a YAML file."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from portraitist.bases.examples import get_example, list_examples
from portraitist.errors import BadConfig
from portraitist.generation import SamplingConfig
from portraitist.reading import read_yaml
from portraitist.studies.grid.drawing import DrawnSubjects
from portraitist.studies.grid.sections import StudySection, SubjectEntry, round_robin
from portraitist.studies.grid.specs import JudgedBy
from portraitist.studies.grid.words import value_words
from portraitist.studies.makers import find_maker
from portraitist.wrong_values import first_wrong_value

SUFFIX = ".yaml"
METHOD = "method"  # of an arm
PHOTOS = "photos"  # an axis that is no setting of the recipe: how many of the subject's photos are used
_FOLDER = files("portraitist.studies.grid") / "builtin"

T = TypeVar("T")


def _by_group(prompts: Any) -> Any:
    """Let prompts be a plain list, whose group has no name."""
    return {"": prompts} if isinstance(prompts, list | tuple) else prompts


PromptGroups = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_by_group)]


class Sampling(StudySection):
    """How the pictures that are scored are sampled; what is not given is what is usual for the base."""

    steps: int | None = Field(None, gt=0, description="denoiser steps")
    guidance: float | None = Field(None, ge=1, description="weight of classifier-free guidance")
    scheduler: str | None = Field(None, description="sampler")

    def config(self) -> SamplingConfig:
        """Return the settings of generation."""
        return SamplingConfig(steps=self.steps, guidance=self.guidance, scheduler=self.scheduler)


class Sheet(StudySection):
    """A sheet of pictures: one row per subject, its photo, then the same prompts of some variants."""

    subjects: int = Field(12, gt=0, description="subjects at most")
    class_noun: str | None = Field(None, alias="class", description="only subjects of this class")
    prompts: int = Field(3, gt=0, description="prompts at most")
    variants: tuple[str, ...] = Field((), description="which of the grid's methods or arms; all when empty")


class Grid(StudySection):
    """Methods, or arms of a comparison, times settings; every combination is a variant that is compared."""

    name: str = Field(description="heading in the report")
    question: str = Field("", description="what this grid is to answer")
    methods: tuple[str, ...] = Field(min_length=1, description="names of `portraitist methods`")
    arms: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="instead of methods: by name a method with dotted settings of its own"
    )
    against: str | None = Field(None, description="the method or arm that all others are compared with")
    sheet: Sheet | None = Field(None, description="a sheet of pictures, one row per subject")
    settings: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict, description="dotted settings of the recipe, or `photos`, with the values to try"
    )
    names: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="what readers are to see instead of a setting's values: by setting, by value"
    )
    fixed: dict[str, Any] = Field(default_factory=dict, description="dotted settings that all variants share")
    subjects: int | None = Field(None, gt=0, description="use only the first so many subjects")
    seeds: int | None = Field(None, gt=0, description="use only the first so many seeds")

    @model_validator(mode="before")
    @classmethod
    def _arms_as_methods(cls, content: Any) -> Any:
        """Let arms take the place of methods."""
        if not isinstance(content, Mapping) or not content.get("arms"):
            return content
        if content.get("methods", tuple(content["arms"])) != tuple(content["arms"]):
            raise ValueError("a grid has methods or arms, not both")
        return {**content, "methods": tuple(content["arms"])}

    @model_validator(mode="after")
    def _known_methods(self) -> "Grid":
        for name, arm in self.arms.items():
            if not isinstance(arm.get(METHOD), str):
                raise ValueError(f"the arm {name} needs a method")
        for name in self.methods:
            find_maker(self.method_of(name))
        wanted = [self.against] if self.against is not None else []
        for name in [*wanted, *(self.sheet.variants if self.sheet else ())]:
            if name not in self.methods:
                raise ValueError(f"no method or arm is called {name!r}; there are: {', '.join(self.methods)}")
        if wanted and self.settings:
            raise ValueError("`against` works only in a grid without settings")
        return self

    def method_of(self, name: str) -> str:
        """Return the method of an arm; of a method, itself."""
        return str(self.arms[name][METHOD]) if name in self.arms else name

    def settings_of(self, name: str) -> dict[str, Any]:
        """Return the dotted settings that an arm has of its own; of a method, none."""
        return {setting: value for setting, value in self.arms.get(name, {}).items() if setting != METHOD}

    @field_validator("settings")
    @classmethod
    def _values_differ(cls, settings: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for name, values in settings.items():
            if not values or len({repr(value) for value in values}) < len(values):
                raise ValueError(f"{name} needs values, none of them twice")
        return settings

    @field_validator("names", mode="before")
    @classmethod
    def _values_as_words(cls, names: Any) -> Any:
        """Let a study file write values as it does among the settings: ``{25: best checkpoint}``."""
        if not isinstance(names, Mapping):
            return names
        return {
            setting: {value_words(value): name for value, name in each.items()} if isinstance(each, Mapping) else each
            for setting, each in names.items()
        }

    @model_validator(mode="after")
    def _what_is_named_exists(self) -> "Grid":
        for setting, names in self.names.items():
            values = [value_words(value) for value in self.settings.get(setting, ())]
            unknown = [value for value in names if value not in values]
            if unknown:
                raise ValueError(f"names: {setting} does not take the value {unknown[0]} in this grid")
        return self

    def is_named(self, setting: str, value: Any) -> bool:
        """Say whether a value has a name for readers."""
        return value_words(value) in self.names.get(setting, {})

    def value_words(self, setting: str, value: Any) -> str:
        """Return a value for readers: its name, or the value in words."""
        return self.names.get(setting, {}).get(value_words(value), value_words(value))


class Quick(StudySection):
    """How ``--quick`` shrinks a study."""

    subjects: int = Field(2, gt=0, description="subjects at most")
    seeds: int = Field(1, gt=0, description="seeds at most")
    prompts: int = Field(4, gt=0, description="prompts at most")
    pictures: int = Field(1, gt=0, description="pictures a prompt at most")
    values: int = Field(3, gt=1, description="values of a setting at most, the ends among them")
    checkpoints: int = Field(2, ge=0, description="points of the training curves at most")
    sampling_steps: int = Field(15, gt=0, description="denoiser steps at most")
    fixed: dict[str, Any] = Field(default_factory=dict, description="dotted settings of all variants")
    grids: tuple[str, ...] | None = Field(None, description="only these grids")


class Study(StudySection):
    """Everything that decides which runs are made."""

    title: str = Field(description="heading of the report")
    hypothesis: str = Field(min_length=20, description="what is expected, written before the first run")
    base: str = Field("toyland", description="base model")
    scorer: str = Field("toyland", description="who scores the pictures: an evaluation protocol, or `colours`")
    encoders: dict[str, str] = Field(default_factory=dict, description="encoders by role, above the protocol's")
    metrics: tuple[str, ...] = Field((), description="metrics instead of the protocol's; the first leads the report")
    spare_metrics: tuple[str, ...] = Field((), description="of these, those to do without where an encoder is missing")
    judged_by: JudgedBy = Field("used", description="photos pictures are compared with: those used, or the `others`")
    folders: dict[str, str | None] = Field(
        default_factory=dict, description="names of folders that arms may need, as $NAME, with what stands for them"
    )
    token: str = Field("sks", description="the rare word that means the subject")
    subjects: Literal["examples"] | DrawnSubjects | tuple[str | SubjectEntry, ...] = Field(
        "examples", description="example subjects by name, or folders; `examples` takes all; or how many to draw"
    )
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="seeds of training")
    prompts: PromptGroups = Field(
        min_length=1, description="prompts with {} for token and class noun: a list, or lists by group"
    )
    more_prompts: dict[str, PromptGroups] = Field(
        default_factory=dict, description="further prompts for subjects of a class, by class: a list, or lists by group"
    )
    class_prompts: tuple[str, ...] = Field((), description="prompts with {} for the class noun, for drift")
    pictures: int = Field(1, gt=0, description="pictures of each prompt, with seeds 0, 1, ...")
    sampling: Sampling = Sampling.model_validate({})
    checkpoints: int = Field(0, ge=0, description="how often during training pictures are scored, for the curves")
    references: bool = Field(True, description="also score the photos themselves and the base before it learns")
    fixed: dict[str, Any] = Field(default_factory=dict, description="dotted settings of all variants")
    grids: tuple[Grid, ...] = Field(min_length=1)
    quick: Quick = Quick.model_validate({})

    @field_validator("prompts", "class_prompts", "more_prompts")
    @classmethod
    def _places(cls, prompts: Any) -> Any:
        for prompt in _texts(prompts):
            if prompt.count("{}") != 1:
                raise ValueError(f"{prompt!r} must contain {{}} exactly once, for the subject")
        return prompts

    @field_validator("prompts")
    @classmethod
    def _some_prompts(cls, prompts: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if not all(prompts.values()):
            raise ValueError("at least one prompt is needed, and one in every group")
        return prompts

    @model_validator(mode="after")
    def _one_group_each(self) -> "Study":
        groups: dict[str, str] = {}
        for lists in (self.prompts, *self.more_prompts.values()):
            for group, prompts in lists.items():
                for prompt in prompts:
                    if groups.setdefault(prompt, group) != group:
                        raise ValueError(f"prompts: {prompt!r} is in two groups")
        return self

    @field_validator("subjects")
    @classmethod
    def _subjects_differ(cls, subjects: Any) -> Any:
        if isinstance(subjects, DrawnSubjects):
            return subjects
        names = [entry.name if isinstance(entry, SubjectEntry) else entry for entry in subjects]
        if not names:
            raise ValueError("at least one subject is needed")
        twice = [name for name in names if names.count(name) > 1 and subjects != "examples"]
        if twice:
            raise ValueError(f"two subjects have the name {twice[0]}")
        return subjects

    @field_validator("grids")
    @classmethod
    def _names_differ(cls, grids: tuple[Grid, ...]) -> tuple[Grid, ...]:
        if len({grid.name for grid in grids}) < len(grids):
            raise ValueError("two grids have the same name")
        return grids

    @model_validator(mode="after")
    def _quick_grids_exist(self) -> "Study":
        unknown = set(self.quick.grids or ()) - {grid.name for grid in self.grids}
        if unknown:
            raise ValueError(f"quick.grids names {sorted(unknown)[0]!r}, and no grid has this name")
        return self

    def subject_entries(self) -> list[SubjectEntry]:
        """Return the subjects, one of every class noun in turn.

        Raises:
            BadConfig: If there is no example subject of a name, or they are still to be drawn.
        """
        if isinstance(self.subjects, DrawnSubjects):
            raise BadConfig("the subjects of this study are still to be drawn")
        names = [e.name for e in list_examples()] if self.subjects == "examples" else self.subjects
        entries = [entry if isinstance(entry, SubjectEntry) else _example(str(entry)) for entry in names]
        return round_robin(entries)

    def prompts_of(self, class_noun: str) -> tuple[str, ...]:
        """Return the prompts of subjects of a class."""
        return (*_texts(self.prompts), *_texts(self.more_prompts.get(class_noun, {})))

    @property
    def prompt_groups(self) -> dict[str, tuple[str, ...]]:
        """Return the prompts of every group that has a name, of all classes."""
        groups: dict[str, tuple[str, ...]] = {}
        for lists in (self.prompts, *self.more_prompts.values()):
            for group, prompts in lists.items():
                groups[group] = tuple(dict.fromkeys((*groups.get(group, ()), *prompts)))
        return {group: prompts for group, prompts in groups.items() if group}

    def shrunk(self) -> "Study":
        """Return the quick version of the study."""
        quick = self.quick
        chosen = [grid for grid in self.grids if quick.grids is None or grid.name in quick.grids]
        grids = tuple(
            grid.model_copy(
                update={"settings": {name: thin(values, quick.values) for name, values in grid.settings.items()}}
            )
            for grid in chosen
        )
        kept = thin(tuple(_texts(self.prompts)), quick.prompts)
        prompts = {group: tuple(each for each in texts if each in kept) for group, texts in self.prompts.items()}
        steps = min(self.sampling.steps or quick.sampling_steps, quick.sampling_steps)
        if isinstance(self.subjects, DrawnSubjects):
            subjects: Any = self.subjects.model_copy(update={"most": quick.subjects})
        else:
            subjects = tuple(self.subject_entries()[: quick.subjects])
        return self.model_copy(
            update={
                "title": f"{self.title} (quick)",
                "subjects": subjects,
                "seeds": self.seeds[: quick.seeds],
                "prompts": {group: texts for group, texts in prompts.items() if texts},
                "more_prompts": {},
                "pictures": min(self.pictures, quick.pictures),
                "checkpoints": min(self.checkpoints, quick.checkpoints),
                "sampling": self.sampling.model_copy(update={"steps": steps}),
                "fixed": {**self.fixed, **quick.fixed},
                "grids": grids,
            }
        )


def _texts(prompts: Any) -> Iterator[str]:
    """Yield all prompts of a list, or of lists by group or class."""
    for each in prompts.values() if isinstance(prompts, Mapping) else prompts:
        yield from [each] if isinstance(each, str) else _texts(each)


def thin(values: Sequence[T], count: int) -> tuple[T, ...]:
    """Return at most `count` values, spread evenly, the first and the last among them."""
    if len(values) <= count:
        return tuple(values)
    if count == 1:
        return (values[0],)
    return tuple(values[round(index * (len(values) - 1) / (count - 1))] for index in range(count))


def list_studies() -> list[str]:
    """Return the names of the studies that ship with the package."""
    return sorted(file.name.removesuffix(SUFFIX) for file in _FOLDER.iterdir() if file.name.endswith(SUFFIX))


def load_study(name: str | Path) -> Study:
    """Read a study: a file, or one that ships with the package by name.

    Raises:
        BadConfig: Naming the place in the file, what is wrong with it and what to do.
    """
    builtin = str(name) in list_studies() and not Path(name).is_file()
    try:
        content = read_yaml(Path(str(_FOLDER / f"{name}{SUFFIX}")) if builtin else Path(name), "study")
    except BadConfig as error:
        built = ", ".join(list_studies())
        raise BadConfig(f"{error}; give a YAML file, or one of: {built}") from error
    if not isinstance(content, dict):
        raise BadConfig(f"the study {name} must hold `name: value` lines")
    return parse_study(content, Path.cwd() if builtin else Path(name).resolve().parent, str(name))


def parse_study(content: Mapping[str, Any], folder: Path, where: str) -> Study:
    """Check plain values and build a study; photo folders are taken relative to `folder`.

    Raises:
        BadConfig: Naming the setting and what is wrong with it.
    """
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise BadConfig(f"{where}: {first_wrong_value(error, Study)}") from error
    if isinstance(study.subjects, str | DrawnSubjects):
        return study
    placed = tuple(
        entry.model_copy(update={"photos": folder / entry.photos}) if isinstance(entry, SubjectEntry) else entry
        for entry in study.subjects
    )
    return study.model_copy(update={"subjects": placed})


def _example(name: str) -> SubjectEntry:
    example = get_example(name)
    return SubjectEntry.model_validate({"name": example.name, "photos": example.folder, "class": example.class_noun})
