"""What `portraitist identities` is asked: many subjects to a set that networks learn from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, FiniteFloat

from portraitist.errors import BadConfig
from portraitist.requests.advice import Advice
from portraitist.requests.choices import BaseChoice
from portraitist.requests.devices import check_precision
from portraitist.requests.request import Request, Rule
from portraitist.requests.usual import DEFAULT_TOKEN

NO_TARGET = "none"


class IdentitiesRequest(Request):
    """Make a set of identities, or go on with one.

    Attributes:
        source: ``toyland:people`` and the like, or a folder with a folder of photos for each identity.
        output: The set's folder.
        count: How many identities; None for what is usual.
        kinds: Kinds of toyland's, above those that the source names.
        class_noun: What the identities of a folder are.
        split: Of which split: ``train``, ``validation``, ``test`` or ``all``; None for what is usual.
        photos: Photos of each.
        alike: How many of them, the first ones, are drawn of all identities in the same scenes, poses and clothes.
        encoders: Encoders whose features are kept.
        target: Method of the target adapters, or ``none``.
        steps: Optimiser steps of a target; None for the recipe's.
        settings: Other settings of targets, as a recipe holds them.
        scenes: Let targets learn each photo by its own prompt, which names scene, clothes and the like.
        frozen_a: Leave the random factor of LoRAs as it started, the same in all targets.
        learned_a: Steps in which that factor is learnt before, by several identities together; 0 leaves it random.
        given_a: A set whose learned factor is taken instead.
        bank_size: Targets that are trained at once.
        executor: Where targets are trained: ``local`` or ``ray``.
        minutes: Begin nothing more after so many; None for as long as it takes.
        vary: Variations that the base draws of each of a folder's identities.
        vary_with: An IP-Adapter to draw them with; None draws them from the photo's pixels.
        vary_strength: How far from the photo they may go, 0 to 1.
        vary_likeness: Least likeness to the photo, by the first of the encoders.
        detector: A face detector, and
        face_encoder: a face network: variations then show exactly one face, the photo's.
        token: The rare word that means each identity.
        seed: Seed of everything drawn.
        base: The base.
    """

    source: str
    output: Path
    count: int | None = Field(None, ge=1)
    kinds: tuple[str, ...] = ()
    class_noun: str | None = None
    split: str | None = None
    photos: int = Field(6, ge=1)
    alike: int = Field(0, ge=0)
    encoders: tuple[str, ...] = ("toyland-identity",)
    target: str = NO_TARGET
    steps: int | None = Field(None, ge=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    scenes: bool = False
    frozen_a: bool = False
    learned_a: int = Field(0, ge=0)
    given_a: Path | None = None
    bank_size: int = Field(8, ge=1)
    executor: str = "local"
    minutes: float | None = Field(None, gt=0)
    vary: int = Field(0, ge=0)
    vary_with: str | None = None
    vary_strength: FiniteFloat = Field(0.6, gt=0, le=1)
    vary_likeness: FiniteFloat = Field(0.5, ge=-1, le=1)
    detector: str | None = None
    face_encoder: str | None = None
    token: str = DEFAULT_TOKEN
    seed: int = Field(0, ge=0)
    base: BaseChoice = BaseChoice()

    @property
    def has_targets(self) -> bool:
        """Say whether target adapters are trained."""
        return self.target != NO_TARGET

    @property
    def shares_a(self) -> bool:
        """Say whether all LoRA targets have one factor A."""
        return self.frozen_a or self.learned_a > 0 or self.given_a is not None

    def rules(self) -> Sequence[Rule]:
        """Return what must hold of source, targets and output."""
        return (
            self._check_source,
            self._check_variations,
            self._check_targets,
            lambda: check_precision(self.base.precision),
            self._check_output,
        )

    def hints(self) -> list[Advice]:
        """Say what a network cannot learn from."""
        if self.photos > 1:
            return []
        return [Advice.of("with one photo per identity there are no pairs of different photos; use --photos 2 or more")]

    def _check_source(self) -> None:
        from portraitist.hypernetworks.identities.sources.opening import check_source, is_drawn

        check_source(self.source, self.kinds, self.class_noun, self.split)
        if self.alike and not is_drawn(self.source):
            raise BadConfig("--alike is for toyland's identities; photos of a folder are as they are")
        if self.alike > self.photos:
            raise BadConfig(f"--alike {self.alike} is more than --photos {self.photos}")

    def _check_variations(self) -> None:
        from portraitist.hypernetworks.identities.sources.opening import is_drawn

        if (self.detector is None) != (self.face_encoder is None):
            raise BadConfig("faces need two networks: --detector finds them, --face-encoder identifies them")
        if not self.vary:
            if self.detector is not None:
                raise BadConfig("the face networks judge variations; add --vary N, or leave them out")
            if self.vary_with is not None:
                raise BadConfig("--vary-with says how variations are drawn; add --vary N, or leave it out")
            return
        if is_drawn(self.source):
            raise BadConfig(
                "--vary is for folders of photos; for toyland's identities, --photos says how many are drawn"
            )
        if not self.encoders:
            raise BadConfig("--vary needs an encoder that judges likeness to the photo; name one with --encoders")
        if self.vary_with is not None:
            from portraitist.hypernetworks.identities.sources.painters import find_ip_adapter

            find_ip_adapter(self.vary_with)

    def _check_targets(self) -> None:
        from portraitist.hypernetworks.identities.executors import EXECUTORS
        from portraitist.hypernetworks.identities.targets import check_method
        from portraitist.workers import find_executor

        find_executor(self.executor, EXECUTORS)
        if self.has_targets:
            check_method(self.target, self.shares_a)
            if self.given_a is not None and self.learned_a:
                raise BadConfig("--a-of takes the factor A that another set learned; leave --learned-a out")
        elif self.steps is not None or self.settings or self.scenes or self.shares_a:
            raise BadConfig(
                "without targets their settings (--steps, --set, --scenes, --frozen-a, --learned-a, --a-of) have no"
                " effect; add --target lidb or --target lora"
            )

    def _check_output(self) -> None:
        from portraitist.hypernetworks.identities.settings import check_folder

        check_folder(self.output)
