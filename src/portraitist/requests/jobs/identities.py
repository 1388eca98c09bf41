"""Carrying out an `IdentitiesRequest`."""

from pathlib import Path

from portraitist.evaluation.encoders import facts, load_encoder
from portraitist.evaluation.faces import load_detector
from portraitist.hypernetworks.identities.card import PAPERS_COUNT
from portraitist.hypernetworks.identities.making import Made, make_set
from portraitist.hypernetworks.identities.settings import SetSettings, TargetSettings, VariationSettings, check_settings
from portraitist.hypernetworks.identities.shared_factor import check_factor, factor_hash, read_factor
from portraitist.hypernetworks.identities.sources.opening import open_source
from portraitist.hypernetworks.identities.sources.painters import VariationPainter, choose_painter
from portraitist.hypernetworks.identities.sources.source import Words
from portraitist.hypernetworks.identities.sources.varied import VariedSource
from portraitist.hypernetworks.identities.targets import target_recipe
from portraitist.preparation.people import FaceFinder
from portraitist.requests.handle import Handle
from portraitist.requests.identities import IdentitiesRequest
from portraitist.requests.jobs.job import Job
from portraitist.requests.jobs.opening import open_base
from portraitist.requests.value import Value
from portraitist.training.inputs.latents import autoencoder_key
from portraitist.training.recipes import Recipe, load_recipe

# Cosine above which two faces are one person's, as `portraitist prepare` has it.
_SAME_FACE = 0.4


class IdentitiesPlan(Value):
    """What making a set will do.

    Attributes:
        source: Where the identities come from.
        identities: How many.
        kinds: Which kinds.
        split: Of which split.
        photos: Photos of each.
        resolution: Of the photos, in pixels.
        base: The base's name.
        encoders: Names of the encoders whose features are kept.
        target: How targets are trained; None without any.
        bank_size: How many at once.
        factor_a: What the factor A is that LoRA targets share; empty where each has its own.
        alike: How many photos of each are drawn as everybody's are.
    """

    source: str
    identities: int
    kinds: tuple[str, ...]
    split: str
    photos: int
    resolution: int
    base: str
    encoders: tuple[str, ...]
    target: Recipe | None
    bank_size: int
    factor_a: str
    alike: int


class IdentitiesMade(Value):
    """What is there of a set.

    Attributes:
        folder: Where it is.
        identities: How many are in it.
        wanted: How many were asked for.
        photos: How many photos.
        good: How many identities have no flags.
        targets: How many have a target adapter.
        finished: Whether nothing is left to be made.
        seconds: Seconds of the run.
        seconds_each: Seconds that an identity takes, by stage.
        papers_seconds: Seconds that as many as the paper's would take.
    """

    folder: Path
    identities: int
    wanted: int
    photos: int
    good: int
    targets: int
    finished: bool
    seconds: float
    seconds_each: dict[str, float]
    papers_seconds: float


class IdentitiesJob(Job[IdentitiesPlan, IdentitiesMade]):
    """A set whose base and encoders are loaded and whose source is open.

    Args:
        request: What is asked.

    Raises:
        PortraitistError: If it cannot be done, in one line.
    """

    def __init__(self, request: IdentitiesRequest) -> None:
        request.check()
        self.request = request
        self.base, notes = open_base(request.base)
        self.advice = [*request.hints(), *notes]
        self.encoders = [load_encoder(name, self.base.device) for name in request.encoders]
        base = self.base
        recipe = None
        if request.has_targets:
            recipe = target_recipe(base, request.target, request.steps, request.settings, request.seed)
        self.factor = None if request.given_a is None else read_factor(request.given_a)
        if self.factor is not None and recipe is not None:
            check_factor(self.factor, base, recipe)
        template = (recipe or load_recipe(None, base.name, base.family.name)).prompt
        self.source, split = open_source(
            request.source,
            request.kinds,
            request.class_noun,
            request.count,
            request.split,
            request.photos,
            base.family.resolution,
            Words(template, request.token),
            request.seed,
            request.alike,
        )
        variation = None
        if request.vary:
            painter = choose_painter(base, request.vary_strength, request.vary_with)
            variation = self._variation(painter)
            words = Words(template, request.token)
            self.source = VariedSource(
                self.source, painter, variation, self.encoders[0], words, request.seed, _face_finder(variation)
            )
        target = None
        if recipe is not None:
            values = recipe.model_dump(mode="json")
            target = TargetSettings(
                recipe=values,
                bank_size=request.bank_size,
                scenes=request.scenes,
                frozen_a=request.shares_a,
                learned_a=request.learned_a,
                given_a="" if self.factor is None else factor_hash(self.factor),
            )
        self.settings = SetSettings(
            source=self.source.name,
            kinds=self.source.kinds,
            split=split,
            count=self.source.count,
            photos=request.photos,
            alike=request.alike,
            token=request.token,
            seed=request.seed,
            resolution=base.family.resolution,
            base=base.name,
            fingerprint=base.fingerprint,
            precision=base.precision,
            autoencoder=autoencoder_key(base),
            encoders=tuple(facts(encoder) for encoder in self.encoders),
            target=target,
            variation=variation,
        )
        check_settings(request.output, self.settings)
        self.plan = IdentitiesPlan(
            source=self.source.name,
            identities=self.source.count,
            kinds=self.source.kinds,
            split=split,
            photos=request.photos,
            resolution=base.family.resolution,
            base=base.name,
            encoders=request.encoders,
            target=recipe,
            bank_size=request.bank_size,
            factor_a="" if target is None else target.factor_a,
            alike=request.alike,
        )

    def _variation(self, painter: VariationPainter) -> VariationSettings:
        request = self.request
        faces = (request.detector, request.face_encoder)
        return VariationSettings(
            count=request.vary,
            strength=request.vary_strength,
            adapter=painter.name,
            likeness=request.vary_likeness,
            faces=(faces[0], faces[1]) if faces[0] and faces[1] else None,
        )

    def run(self, handle: Handle | None = None) -> IdentitiesMade:
        """Make the set, or what is left of it, and return what is there.

        Raises:
            Stopped: If the handle asked to stop.
        """
        request = self.request
        made = make_set(
            request.output,
            self.settings,
            self.source,
            self.base,
            self.encoders,
            factor=self.factor,
            executor=request.executor,
            minutes=request.minutes,
            report=(handle or Handle()).report,
        )
        return self._outcome(made)

    def _outcome(self, made: Made) -> IdentitiesMade:
        entries = made.stock.entries
        return IdentitiesMade(
            folder=self.request.output,
            identities=len(entries),
            wanted=self.settings.count,
            photos=sum(len(entry.photos) for entry in entries),
            good=sum(entry.is_good for entry in entries),
            targets=sum(entry.target is not None for entry in entries),
            finished=made.finished,
            seconds=made.seconds,
            seconds_each=made.stock.seconds,
            papers_seconds=PAPERS_COUNT * made.stock.each,
        )


def _face_finder(variation: VariationSettings) -> FaceFinder | None:
    """Return what finds faces in variations, if it is wanted."""
    if variation.faces is None:
        return None
    detector, encoder = variation.faces
    return FaceFinder(load_detector(detector), load_encoder(encoder), _SAME_FACE)
