"""Protocols: which subjects, which prompts, how many pictures, measured with what. YAML files, strictly read."""

from collections.abc import Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from portraitist.errors import BadConfig
from portraitist.evaluation.metrics import check_roles, get_metrics
from portraitist.reading import read_yaml
from portraitist.wrong_values import first_wrong_value

_FOLDER = Path(str(files("portraitist.evaluation"))) / "protocols"
PLACE = "{}"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProtocolSubject(_Section):
    """A subject of a protocol.

    Attributes:
        name: Its name, and that of its photo folder and its adapter file.
        class_noun: What it is; in YAML, ``class``.
        prompts: Names of the prompt lists used for it.
    """

    name: str
    class_noun: str = Field(alias="class")
    prompts: tuple[str, ...]


class Protocol(_Section):
    """How adapters are evaluated.

    Attributes:
        name: Its name.
        title: What it is.
        source: Where it is from.
        prompts: Lists of prompts by name; ``{}`` is where the subject goes.
        subjects: The subjects; empty takes every folder of photos, up to `subjects_expected`.
        folder_prompts: Prompt lists for subjects that are taken from folders.
        class_noun: What they are when they are taken from folders.
        subjects_expected: How many subjects the protocol has.
        images_per_prompt: Pictures of each prompt.
        class_prompt: Prompt of the class pictures that PRES is measured on; ``{}`` is the class noun.
        class_images: How many of them; 0 makes none.
        steps: Denoiser evaluations of a picture; None leaves it to the sampler's default.
        guidance: Weight of classifier-free guidance; None leaves it to the sampler's default.
        metrics: Names of the metrics.
        encoders: Encoder of each role.
    """

    name: str
    title: str
    source: str
    prompts: dict[str, tuple[str, ...]]
    subjects: tuple[ProtocolSubject, ...] = ()
    folder_prompts: tuple[str, ...] = ()
    class_noun: str = ""
    subjects_expected: int = Field(ge=1)
    images_per_prompt: int = Field(ge=1)
    class_prompt: str = "a photo of a {}"
    class_images: int = Field(default=0, ge=0)
    steps: int | None = Field(default=None, ge=1)
    guidance: float | None = Field(default=None, ge=1)
    metrics: tuple[str, ...]
    encoders: dict[str, str]

    @field_validator("metrics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            get_metrics(names)
        except BadConfig as error:
            raise ValueError(str(error)) from error
        return names

    @field_validator("encoders")
    @classmethod
    def _has_roles(cls, encoders: dict[str, str]) -> dict[str, str]:
        try:
            check_roles(encoders)
        except BadConfig as error:
            raise ValueError(str(error)) from error
        return encoders

    @model_validator(mode="after")
    def _complete(self) -> "Protocol":
        for prompt in (*(text for group in self.prompts.values() for text in group), self.class_prompt):
            if prompt.count(PLACE) != 1:
                raise ValueError(f"the prompt {prompt!r} needs exactly one {PLACE} where the subject goes")
        for used in (self.folder_prompts, *(subject.prompts for subject in self.subjects)):
            for name in used:
                if name not in self.prompts:
                    raise ValueError(f"there is no prompt list {name!r}; there are: {', '.join(self.prompts)}")
        if not self.subjects and not (self.folder_prompts and self.class_noun):
            raise ValueError("without subjects, folder_prompts and class_noun are needed")
        return self

    def templates(self, subject: ProtocolSubject) -> list[str]:
        """Return a subject's prompts, ``{}`` where it goes."""
        return [template for name in subject.prompts for template in self.prompts[name]]

    def adopt(self, name: str, class_noun: str | None = None) -> ProtocolSubject:
        """Return the protocol's subject of a name; another folder becomes a subject where the protocol allows it.

        Args:
            name: Name of a photo folder.
            class_noun: What it is, if it is none of the protocol's own.

        Raises:
            BadConfig: If its class noun is unknown.
        """
        for subject in self.subjects:
            if subject.name == name:
                return subject
        noun = class_noun or self.class_noun
        like = next((subject for subject in self.subjects if subject.class_noun == noun), None)
        lists = self.folder_prompts or (like.prompts if like else ())
        if not noun or not lists:
            known = ", ".join(dict.fromkeys(subject.class_noun for subject in self.subjects))
            raise BadConfig(
                f"{name} is not a subject of the protocol {self.name}; say what it is with --class, one of: {known}"
            )
        return ProtocolSubject.model_validate({"name": name, "class": noun, "prompts": lists})


def list_protocols() -> list[str]:
    """Return the names of the protocols that ship with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_protocol(name: str) -> Protocol:
    """Read a protocol.

    Args:
        name: The name of one that ships with the package, or a YAML file.

    Raises:
        BadConfig: If there is none, or a setting is unknown, missing or wrong.
    """
    path = Path(name) if Path(name).suffix in {".yaml", ".yml"} else _FOLDER / f"{name}.yaml"
    if not path.exists():
        near = get_close_matches(name, list_protocols(), 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(list_protocols())}, or a YAML file"
        raise BadConfig(f"there is no protocol {name!r}; {hint}")
    try:
        return Protocol.model_validate(read_yaml(path, "protocol"))
    except ValidationError as error:
        raise BadConfig(f"{path}: {first_wrong_value(error, Protocol)}") from error


def fill(template: str, words: str) -> str:
    """Put words into a template, with the article they need: ``a {}`` becomes ``an orange``."""
    text = template.replace(PLACE, words)
    if words[:1].lower() in set("aeiou"):
        text = text.replace(f"a {words}", f"an {words}")
    return text


def count_pictures(protocol: Protocol, subjects: Sequence[ProtocolSubject]) -> int:
    """Return how many pictures are generated for some subjects, class pictures included."""
    each = (len(protocol.templates(subject)) * protocol.images_per_prompt for subject in subjects)
    return sum(each) + protocol.class_images * len(subjects)
