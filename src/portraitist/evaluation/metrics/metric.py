"""What a metric is: a formula on a subject's pictures, the encoder it needs, and which way is good."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from PIL import Image
from torch import Tensor

from portraitist.evaluation.encoders import Encoder, embed_captions, embed_images
from portraitist.evaluation.faces import ARCFACE_SIDE

Role = Literal["dino", "clip", "identity", "features", "perceptual", "inception", "reward", "detector"]
ROLES: tuple[str, ...] = get_args(Role)


@dataclass(frozen=True)
class MetricInputs:
    """What is measured: one subject's photos and the pictures generated of it.

    Attributes:
        subject: The subject's name.
        photos: Real pictures.
        pictures: Generated pictures.
        prompts: One a picture, as the text encoder is to read it; empty if unknown.
        class_pictures: Pictures of the subject's class without its token, generated with the adapter on.
    """

    subject: str
    photos: Sequence[Image.Image]
    pictures: Sequence[Image.Image]
    prompts: Sequence[str] = ()
    class_pictures: Sequence[Image.Image] = ()

    @property
    def groups(self) -> Sequence[Hashable]:
        """Return which prompt each picture belongs to; all to one where prompts are unknown."""
        return self.prompts or [0] * len(self.pictures)


@dataclass
class Embeddings:
    """A subject's material and the encoders, with every embedding made once.

    Attributes:
        material: What is measured.
        tools: Encoders by role; a detector and a reward model may be among them.
    """

    material: MetricInputs
    tools: Mapping[str, Any]
    _made: dict[tuple[str, str], Tensor] = field(default_factory=dict, repr=False)

    def encoder(self, role: Role) -> Encoder:
        """Return the encoder of a role."""
        return self.tools[role]

    def of(self, role: Role, part: Literal["photos", "pictures", "class_pictures"]) -> Tensor:
        """Return embeddings ``[n, d]`` of a part of the material."""
        if (role, part) not in self._made:
            self._made[role, part] = embed_images(self.tools[role], getattr(self.material, part))
        return self._made[role, part]

    def of_prompts(self) -> Tensor:
        """Return the embeddings ``[n, d]`` of the pictures' prompts."""
        different, own = self.different_prompts
        return different[own]

    @cached_property
    def different_prompts(self) -> tuple[Tensor, Tensor]:
        """Return the embeddings ``[k, d]`` of the different prompts, and which of them each picture has, ``[n]``."""
        different = sorted(set(self.material.prompts))
        own = torch.tensor([different.index(prompt) for prompt in self.material.prompts])
        return embed_captions(self.tools["clip"], different), own

    @cached_property
    def faces(self) -> dict[str, list[Image.Image | None]]:
        """Return the face of every photo and picture; the whole picture where no detector is given."""
        detector = self.tools.get("detector")
        parts = {"photos": self.material.photos, "pictures": self.material.pictures}
        if detector is None:
            return {part: list(images) for part, images in parts.items()}
        aligned = "identity" in self.tools and self.tools["identity"].preprocessing.size == ARCFACE_SIDE
        return {part: [detector.crop(image, aligned) for image in images] for part, images in parts.items()}


@dataclass(frozen=True)
class Scores:
    """What a metric found of one subject.

    Attributes:
        value: The number; None if the material does not allow it.
        per_picture: The values it is the mean of, one a generated picture in order, where there is such a thing.
        extras: Further numbers by name.
        missing: Why there is no number.
    """

    value: float | None
    per_picture: tuple[float, ...] = ()
    extras: Mapping[str, float] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: Its name in results and on the command line.
        label: Its name for readers.
        role: The encoder it needs.
        higher_is_better: Which way is good.
        meaning: One sentence for readers.
        measure: From a subject's embeddings to scores.
        optional: Roles of encoders that change its numbers where they are given.
    """

    name: str
    label: str
    role: Role
    higher_is_better: bool
    meaning: str
    measure: Callable[[Embeddings], Scores]
    optional: tuple[Role, ...] = ()
