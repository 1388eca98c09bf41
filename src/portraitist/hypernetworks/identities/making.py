"""Making a set: photos, latents, features and targets, shard by shard, so that a run that was ended goes on."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from portraitist.bases import Base
from portraitist.errors import Stopped, TrainingInterrupted
from portraitist.evaluation.encoders import Encoder, facts, raw_embeddings
from portraitist.files import remove_leftovers, require_writable, write_aside
from portraitist.hypernetworks.identities.card import write_card
from portraitist.hypernetworks.identities.entry import Entry
from portraitist.hypernetworks.identities.executors import EXECUTORS
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.identities.index import require_parquet, write_index
from portraitist.hypernetworks.identities.settings import SetSettings, check_settings, keep_settings
from portraitist.hypernetworks.identities.shards import (
    DEVIATION,
    EMBEDDINGS,
    LATENTS,
    LOOKS,
    MEAN,
    PHOTOS,
    PIXELS,
    SECONDS,
    TARGETS,
    WHO,
    Shards,
    features_stage,
    shard_path,
    write_shard,
)
from portraitist.hypernetworks.identities.shared_factor import (
    has_factor,
    learn_factor,
    read_factor,
    write_factor,
)
from portraitist.hypernetworks.identities.sources.drawn import ALL
from portraitist.hypernetworks.identities.sources.source import Identity, Source
from portraitist.hypernetworks.identities.stock import Stock, read_entries, stages, take_stock
from portraitist.hypernetworks.identities.targets import BankWork
from portraitist.hypernetworks.identities.twins import looks
from portraitist.locks import held
from portraitist.progress import track
from portraitist.training.inputs.latents import Latents
from portraitist.training.recipes import Recipe
from portraitist.workers import find_executor

Report = Callable[[str, int, int], None]

_ENCODED_AT_ONCE = 16


@dataclass(frozen=True)
class Made:
    """What is there of a set after a run.

    Attributes:
        stock: Its identities, and what they cost.
        finished: Whether nothing is left to be made.
        seconds: How long the run took.
    """

    stock: Stock
    finished: bool
    seconds: float


def make_set(
    folder: Path,
    settings: SetSettings,
    source: Source,
    base: Base,
    encoders: Sequence[Encoder] = (),
    *,
    factor: Mapping[str, Tensor] | None = None,
    executor: str = "local",
    minutes: float | None = None,
    report: Report | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Made:
    """Make a set, or go on with one; what is there already is kept.

    Args:
        folder: Where the set is.
        settings: What decides it.
        source: Where the identities come from.
        base: The base; it is left as found.
        encoders: Those that the settings name, loaded.
        factor: The factor A of LoRA targets, by layer, where it is another set's.
        executor: Where targets are trained: ``local`` or ``ray``.
        minutes: Nothing more is begun after so many; None for as long as it takes.
        report: Told of the stage, how many identities are done in it, and of how many.
        clock: Seconds that pass; for tests.

    Raises:
        BadConfig: If the folder holds another set.
        InUse: If another process makes it.
        MissingExtra: If a package is needed that is not installed.
        Stopped: If `report` raised it, or on Ctrl-C while targets are trained; an index of what is there was written.
    """
    require_parquet()
    looks([Image.new("RGB", (1, 1))])  # as does what tells photos apart
    find_executor(executor, EXECUTORS)
    require_writable(folder, _bytes_of(settings))
    check_settings(folder, settings)
    with held(folder, "the making of a set"):
        keep_settings(folder, settings)
        remove_leftovers(folder, deep=True)  # by a run that was killed
        if factor is not None:
            write_factor(folder, factor)
        making = _Making(folder, settings, source, base, encoders, executor, minutes, report or _no_report, clock)
        try:
            making.make_shards()
            making.train_targets()
        except (Stopped, KeyboardInterrupt):
            making.take_stock()
            raise
        return making.take_stock()


class _Making:
    """A run that makes a set; a file that is there is whole, and is not made again."""

    def __init__(
        self,
        folder: Path,
        settings: SetSettings,
        source: Source,
        base: Base,
        encoders: Sequence[Encoder],
        executor: str,
        minutes: float | None,
        report: Report,
        clock: Callable[[], float],
    ) -> None:
        self.folder, self.settings, self.source, self.base = folder, settings, source, base
        self.encoders, self.executor, self.report = encoders, executor, report
        self._clock, self._began = clock, clock()
        self._seconds = None if minutes is None else 60 * minutes
        self._stages = stages(settings)

    @property
    def _time_is_up(self) -> bool:
        return self._seconds is not None and self._clock() - self._began >= self._seconds

    def _is_whole(self, shard: int) -> bool:
        return all(shard_path(self.folder, stage, shard).exists() for stage in self._stages)

    def make_shards(self) -> None:
        """Draw or read photos, encode them, and look at them with the encoders."""
        settings = self.settings
        missing = [shard for shard in range(settings.shards) if not self._is_whole(shard)]
        done = settings.count - sum(len(settings.members(shard)) for shard in missing)
        with track(settings.count, "photos, latents and features", done) as progress:
            for shard in missing:
                if self._time_is_up:
                    return
                self._make_shard(shard)
                size = len(settings.members(shard))
                done += size
                progress.advance(size)
                self.report("making photos", done, settings.count)

    def _make_shard(self, shard: int) -> None:
        self._once(PHOTOS, shard, self._photos)
        self._once(LATENTS, shard, self._latents)
        for encoder in self.encoders:
            self._once(features_stage(facts(encoder)), shard, partial(self._features, encoder))

    def _once(self, stage: str, shard: int, make: Callable[[int], tuple[dict[str, Tensor], dict[str, str]]]) -> None:
        path = shard_path(self.folder, stage, shard)
        if not path.exists():
            began = time.perf_counter()
            tensors, known = make(shard)
            write_shard(path, tensors, {**known, SECONDS: f"{time.perf_counter() - began:.3f}"})

    def _photos(self, shard: int) -> tuple[dict[str, Tensor], dict[str, str]]:
        identities = [self.source.identity(number) for number in self.settings.members(shard)]
        for identity in identities:
            if self.settings.split not in (ALL, identity.split):
                raise ValueError(f"{identity.key} is of the split {identity.split}, not {self.settings.split}")
        side = self.settings.resolution
        pixels = [torch.from_numpy(photo.pixels) for identity in identities for photo in identity.photos]
        pictures = [Image.fromarray(each.numpy()) for each in pixels]
        tensors = {
            PIXELS: torch.stack(pixels) if pixels else torch.zeros(0, side, side, 3, dtype=torch.uint8),
            LOOKS: looks(pictures),
        }
        return tensors, {WHO: json.dumps([_describe(identity) for identity in identities])}

    def _latents(self, shard: int) -> tuple[dict[str, Tensor], dict[str, str]]:
        pixels = self._pixels(shard).permute(0, 3, 1, 2)
        parts = [self.base.family.encode_pictures(part.float() / 127.5 - 1) for part in pixels.split(_ENCODED_AT_ONCE)]
        means, deviations = ([part[side].cpu() for part in parts] for side in (0, 1))
        return {MEAN: torch.cat(means), DEVIATION: torch.cat(deviations)}, {}

    def _features(self, encoder: Encoder, shard: int) -> tuple[dict[str, Tensor], dict[str, str]]:
        pictures = [Image.fromarray(each.numpy()) for each in self._pixels(shard)]
        return {EMBEDDINGS: raw_embeddings(encoder, pictures)}, {}

    def _pixels(self, shard: int) -> Tensor:
        return Shards(self.folder).read_whole(PHOTOS, PIXELS, shard)

    def train_targets(self) -> None:
        """Train the banks of targets that are not there yet."""
        if self.settings.target is None:
            return
        banks = range(self.settings.banks)
        members = [len(self.settings.bank_members(bank)) for bank in banks]
        done = sum(count for bank, count in zip(banks, members, strict=True) if self._bank(bank).exists())
        try:
            with track(self.settings.count, "targets", done) as progress:
                for work, content in find_executor(self.executor, EXECUTORS)(self._works(), self.base):
                    with write_aside(self._bank(work.number)) as temporary:
                        temporary.write_bytes(content)
                    done += members[work.number]
                    progress.advance(members[work.number])
                    self.report("training targets", done, self.settings.count)
        except TrainingInterrupted as error:  # by Ctrl-C, in the middle of a bank
            raise Stopped("training targets", done, self.settings.count) from error

    def _bank(self, number: int) -> Path:
        return shard_path(self.folder, TARGETS, number)

    def _works(self) -> Iterator[BankWork]:
        """Yield the banks that are to be trained, until time is up; their photos are read when they are asked for."""
        assert self.settings.target is not None
        target, settings, base = self.settings.target, self.settings, self.base
        known = {entry.number: entry for entry in read_entries(self.folder, settings)}
        photos = IdentitySet(settings, list(known.values()), Shards(self.folder))
        factor: dict[str, Tensor] = {}
        if target.given_a:
            factor = read_factor(self.folder)
        elif target.learned_a:
            teachers = range(min(settings.count, target.bank_size * int(target.recipe["batch_size"])))
            if self._time_is_up or not all(number in known for number in teachers):
                return
            factor = self._learned_factor(photos, [known[number] for number in teachers if known[number].photos])
        for bank in range(settings.banks):
            members = settings.bank_members(bank)
            if self._bank(bank).exists() or not all(number in known for number in members):
                continue
            entries = [known[number] for number in members if known[number].photos]
            if not entries:
                continue
            if self._time_is_up:
                return
            encoder = settings.encoders[0].name if settings.encoders else None
            yield BankWork(
                number=bank,
                base=base.name,
                fingerprint=base.fingerprint,
                precision=base.precision,
                resolution=base.family.resolution,
                device=str(base.device),
                recipe=target.recipe,
                token=settings.token,
                keys=tuple(entry.key for entry in entries),
                class_nouns=tuple(entry.class_noun for entry in entries),
                prompts=tuple(entry.prompt for entry in entries),
                latents=tuple(self._lessons(photos, entry) for entry in entries),
                frozen_a=target.frozen_a,
                factor=factor,
                encoder=encoder,
                features=tuple(photos.features(encoder, entry.numbers) for entry in entries) if encoder else (),
            )

    def _lessons(self, photos: IdentitySet, entry: Entry) -> Latents:
        """Return the latents of somebody's photos with the prompts that targets learn them by."""
        assert self.settings.target is not None
        alike = self.settings.alike
        latents = photos.latents(entry.numbers[:alike] if alike else entry.numbers)
        return latents if self.settings.target.scenes else replace(latents, prompts=(entry.prompt,) * len(latents))

    def _learned_factor(self, photos: IdentitySet, teachers: Sequence[Entry]) -> dict[str, Tensor]:
        """Return the factor A that all targets start with, which some identities learn if they have not yet."""
        assert self.settings.target is not None
        if not has_factor(self.folder):
            recipe = Recipe.model_validate(self.settings.target.recipe)
            latents = [self._lessons(photos, entry) for entry in teachers]
            write_factor(self.folder, learn_factor(self.base, recipe, latents, self.settings.target.learned_a))
        return read_factor(self.folder)

    def take_stock(self) -> Made:
        """Write the index and the card of what is there."""
        stock = take_stock(self.folder, self.settings)
        wanted = [entry for entry in stock.entries if entry.photos] if self.settings.target else []
        finished = len(stock.entries) == self.settings.count and all(entry.target for entry in wanted)
        facts = {"base": self.settings.fingerprint, "auxiliary_bases": stock.auxiliary_bases}
        write_index(self.folder, stock.entries, facts)
        write_card(self.folder, self.settings, stock, finished)
        return Made(stock, finished, self._clock() - self._began)


def _describe(identity: Identity) -> dict[str, Any]:
    """Return what a shard of photos says of an identity."""
    photos = [
        {
            "caption": photo.caption,
            "prompt": photo.prompt,
            "labels": photo.labels,
            "sha256": hashlib.sha256(f"{photo.pixels.shape}".encode() + photo.pixels.tobytes()).hexdigest(),
            "framing": astuple(photo.framing),
            "spread": round(float(np.std(photo.pixels)), 3),
        }
        for photo in identity.photos
    ]
    names = ("key", "kind", "class_noun", "split", "seed", "prompt", "provenance")
    return {**{name: getattr(identity, name) for name in names}, "photos": photos}


def _bytes_of(settings: SetSettings) -> int:
    """Return about how much room photos and latents need; features and targets are small beside them."""
    return 2 * settings.count * settings.photos * 3 * settings.resolution**2


def _no_report(stage: str, done: int, total: int) -> None:
    """Tell nobody."""
