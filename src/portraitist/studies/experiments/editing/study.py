"""Editing measured: every known edit by every variant, one picture each; an interrupted study goes on where it was."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.files import require_writable, write_aside
from portraitist.generation.editing import EditConfig, edit
from portraitist.generation.inversion import check_invertible
from portraitist.progress import track
from portraitist.studies.experiments.editing.edits import KnownEdit
from portraitist.studies.runs.processes import base_of_process, spread
from portraitist.training.recipes import Recipe
from portraitist.training.single_image import single_image_recipe, teach_picture

NOTHING = "none"
METHODS = ("svdiff", "lora", "full")
# Parts of the noise schedule that SDEdit starts from: enough to change a colour, enough to change a scene.
SDEDIT_STRENGTHS = (0.5, 0.7)
# Solving the inversion further changes no pixel of the result that could be seen.
_TOLERANCE = 1e-3
_ROOM = 100_000_000  # bytes


@dataclass(frozen=True)
class EditVariant:
    """A way of editing.

    Attributes:
        method: What learns the picture; ``none`` edits with the base as it is.
        config: How it is edited.
    """

    method: str
    config: EditConfig

    @property
    def name(self) -> str:
        """Return words for tables: ``svdiff, inverted``, ``SDEdit 0.5``."""
        if self.config.inversion:
            return f"{'no learning' if self.method == NOTHING else self.method}, inverted"
        if self.method == NOTHING:
            return f"SDEdit {self.config.resolved_strength:g}"
        return f"{self.method}, new noise"


@dataclass(frozen=True)
class EditingStudy:
    """Everything that decides the pictures.

    Attributes:
        base: The base.
        edits: What to edit.
        variants: Ways of editing.
        recipes: How a picture is learnt, by method.
        folder: Where the pictures go.
        seed: Seed of every result.
    """

    base: Base
    edits: Sequence[KnownEdit]
    variants: Sequence[EditVariant]
    recipes: dict[str, Recipe] = field(repr=False)
    folder: Path
    seed: int = 0

    def picture_path(self, known: KnownEdit, variant: EditVariant) -> Path:
        """Return where a cell's picture is."""
        return self.folder / known.name / f"{variant.name.replace(', ', '-').replace(' ', '-')}.png"

    def result(self, known: KnownEdit, variant: EditVariant) -> Image.Image | None:
        """Return a cell's picture, or None if it is still to be made (with these settings)."""
        try:
            with Image.open(self.picture_path(known, variant), formats=["PNG"]) as image:
                made = image.info.get("portraitist")
                return image.convert("RGB") if made == self._identity(known, variant) else None
        except (FileNotFoundError, UnidentifiedImageError):
            return None

    def run(self, workers: int = 1) -> None:
        """Make the pictures that are missing; edits in turn over their kinds, so that a part of the study is fair.

        Args:
            workers: How many edits to make at once, each in a process with a base of its own.

        Raises:
            BadConfig: If the base cannot be inverted.
            UnwritableFolder: If the folder cannot be written.
        """
        check_invertible(self.base)
        require_writable(self.folder, _ROOM)
        order = sorted(self.edits, key=lambda known: int(known.name.rpartition("-")[2]))
        wanted = [known for known in order if any(self.result(known, variant) is None for variant in self.variants)]
        alone = partial(
            _make_alone, self.base.name, str(self.base.device), self.variants, self.recipes, self.folder, self.seed
        )
        make = self.make if workers == 1 else alone
        with track(len(order), "edits", completed=len(order) - len(wanted)) as progress:
            for _ in spread(make, wanted, workers, lambda known: known.name):
                progress.advance()

    def make(self, known: KnownEdit) -> None:
        """Make the pictures of one edit that are missing."""
        missing = [variant for variant in self.variants if self.result(known, variant) is None]
        for method in dict.fromkeys(variant.method for variant in missing):
            adapter = self._learn(known, method)
            for variant in (variant for variant in missing if variant.method == method):
                self._make(known, variant, adapter)

    def _learn(self, known: KnownEdit, method: str) -> Adapter | None:
        if method == NOTHING:
            return None
        before, _ = known.pictures(self.base.family.resolution)
        return teach_picture(self.base, before, known.source, self.recipes[method])

    def _make(self, known: KnownEdit, variant: EditVariant, adapter: Adapter | None) -> None:
        before, _ = known.pictures(self.base.family.resolution)
        edited = edit(
            self.base,
            before,
            known.source,
            known.target,
            adapter,
            seeds=(self.seed,),
            config=variant.config,
            reconstruct=False,
            show_progress=False,
        )
        info = PngInfo()
        info.add_itxt("prompt", known.target)
        info.add_itxt("portraitist", self._identity(known, variant))
        path = self.picture_path(known, variant)
        with write_aside(path) as temporary:
            edited.results[0].save(temporary, format="PNG", pnginfo=info)

    def _identity(self, known: KnownEdit, variant: EditVariant) -> str:
        """Return a hash of everything that decides a cell's picture."""
        recipe = self.recipes[variant.method].model_dump(mode="json") if variant.method != NOTHING else None
        before, _ = known.pictures(self.base.family.resolution)
        facts: dict[str, Any] = {
            "base": self.base.fingerprint,
            "before": hashlib.sha256(before.tobytes()).hexdigest(),
            "prompts": [known.source, known.target],
            "recipe": recipe,
            "config": asdict(variant.config),
            "seed": self.seed,
        }
        return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=8).hexdigest()


def _make_alone(
    base: str,
    device: str,
    variants: Sequence[EditVariant],
    recipes: dict[str, Recipe],
    folder: Path,
    seed: int,
    known: KnownEdit,
) -> None:
    """Make the pictures of one edit in a process of its own."""
    EditingStudy(base_of_process(base, device), [known], variants, recipes, folder, seed).make(known)


def default_variants(methods: Sequence[str] = METHODS, steps: int | None = None) -> list[EditVariant]:
    """Return each method with and without inversion, and what needs no learning: inversion alone, and SDEdit."""
    settings: dict[str, Any] = {"tolerance": _TOLERANCE, **({} if steps is None else {"steps": steps})}
    variants = [
        EditVariant(method, EditConfig(inversion=flag, **settings)) for method in methods for flag in (True, False)
    ]
    variants.append(EditVariant(NOTHING, EditConfig(**settings)))
    variants += [
        EditVariant(NOTHING, EditConfig(inversion=False, strength=part, **settings)) for part in SDEDIT_STRENGTHS
    ]
    return variants


def default_recipes(
    base: Base, methods: Sequence[str] = METHODS, overrides: dict[str, Any] | None = None
) -> dict[str, Recipe]:
    """Return how each method learns a picture on a base."""
    return {method: single_image_recipe(method, base, overrides) for method in methods}
