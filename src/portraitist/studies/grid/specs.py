"""What decides a run, and the key that it is known by."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

# Where something lies decides nothing: photos and encoders are known by their digests,
_PLACES = ("photos", "scorer", "encoders")
# and so are the folders among a recipe's settings, by those that its maker writes beside them.
_RECIPE_PLACES = ("hypernetwork", "identities")


JudgedBy = Literal["used", "others"]


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides one run; plain values, so that it can be hashed and sent to another process.

    Attributes:
        base: Name of the base.
        fingerprint: Its fingerprint.
        scorer: Who scores.
        encoders: Encoders by role, above the scorer's own.
        metrics: Metrics instead of the scorer's own.
        scorer_digest: A hash of the scorer's identity: what other encoders scored is another run.
        subject: The subject's name.
        photos: Folder of its photos.
        photos_digest: A hash of the files in it.
        photo_count: Use the first so many photos; None takes all.
        class_noun: What the subject is.
        token: The rare word.
        recipe: All settings of what makes the adapter, method and seed included; of a reference only these two.
        prompts: Prompts with ``{}``.
        class_prompts: Prompts with ``{}`` for the class noun.
        pictures: Pictures of each prompt.
        sampling: Settings of sampling.
        checkpoints: How often pictures are scored during training.
        judged_by: Which photos pictures are compared with: those used, or the subject's others.
    """

    base: str
    fingerprint: str
    scorer: str
    encoders: dict[str, str]
    metrics: tuple[str, ...]
    scorer_digest: str
    subject: str
    photos: str
    photos_digest: str
    photo_count: int | None
    class_noun: str
    token: str
    recipe: dict[str, Any]
    prompts: tuple[str, ...]
    class_prompts: tuple[str, ...]
    pictures: int
    sampling: dict[str, Any]
    checkpoints: int
    judged_by: JudgedBy = "used"

    @property
    def key(self) -> str:
        """Return a short name that two runs share only if they are the same run, wherever files lie."""
        deciding = {name: value for name, value in asdict(self).items() if name not in _PLACES}
        deciding["recipe"] = {name: value for name, value in self.recipe.items() if name not in _RECIPE_PLACES}
        if self.judged_by == "used":  # as in runs that were made before there was a choice
            del deciding["judged_by"]
        return digest(deciding)

    @property
    def method(self) -> str:
        """Return the name of the method, or of a reference."""
        return str(self.recipe["method"])

    @property
    def seed(self) -> int:
        """Return the seed of training."""
        return int(self.recipe["seed"])


def without_places(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe whose folders are called by their names alone."""
    named = {name: Path(recipe[name]).name for name in _RECIPE_PLACES if recipe.get(name)}
    return {**recipe, **named}


def digest(content: Mapping[str, Any]) -> str:
    """Return sixteen hexadecimal digits of JSON-able content."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()
