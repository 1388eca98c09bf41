"""The card of a set: what is in it, what is not good about it, and what it cost."""

from collections import Counter
from pathlib import Path

from portraitist.files import write_aside
from portraitist.hypernetworks.identities.settings import SetSettings
from portraitist.hypernetworks.identities.stock import Stock
from portraitist.markdown import table
from portraitist.units import in_time

FILE = "README.md"
# Identities that HyperDreamBooth was trained on (arXiv 2307.06949).
PAPERS_COUNT = 15_000
_SPLITS = ("train", "validation", "test")
_SHOWN = 50


def write_card(folder: Path, settings: SetSettings, stock: Stock, finished: bool) -> None:
    """Write a set's card."""
    with write_aside(folder / FILE) as temporary:
        temporary.write_text(describe(settings, stock, finished), encoding="utf-8")


def describe(settings: SetSettings, stock: Stock, finished: bool) -> str:
    """Return a set's card in Markdown."""
    parts = [
        f"# Identities of {settings.source}",
        _who(settings, stock, finished),
        _how(settings, stock),
        "## What is not good",
        _flags(stock),
        "## What it cost",
        _cost(stock),
    ]
    return "\n\n".join(parts) + "\n"


def _who(settings: SetSettings, stock: Stock, finished: bool) -> str:
    entries = stock.entries
    kinds = Counter(entry.kind for entry in entries)
    rows = [
        [kind, str(count), *(str(sum(e.kind == kind and e.split == split for e in entries)) for split in _SPLITS)]
        for kind, count in kinds.items()
    ]
    state = "" if finished else f" It is not finished: {settings.count} were asked for."
    photos = sum(len(entry.photos) for entry in entries)
    return f"{len(entries)} identities, {photos} photos.{state}\n\n" + table(["kind", "identities", *_SPLITS], rows)


def _how(settings: SetSettings, stock: Stock) -> str:
    alike = f"; {settings.alike} of each in the same scenes, poses and clothes" if settings.alike else ""
    lines = [
        f"- photos: {settings.resolution} x {settings.resolution} pixels, seed {settings.seed}{alike}",
        f"- latents and targets: base {settings.base}, fingerprint {settings.fingerprint}",
        *(f"- features: {encoder}" for encoder in settings.encoders),
    ]
    if settings.target is not None:
        recipe, size = settings.target.recipe, settings.target.bank_size
        prompts = "prompts with scenes" if settings.target.scenes else "one prompt each"
        factor = f", {settings.target.factor_a}" if settings.target.factor_a else ""
        lines.append(
            f"- targets: {recipe['method']}, {recipe['steps']} steps, {prompts}{factor}, trained {size} at a time"
        )
    if stock.auxiliary_bases:
        lines.append(f"- checksum of the targets' auxiliary bases: `{stock.auxiliary_bases}`")
    return "\n".join(lines)


def _flags(stock: Stock) -> str:
    flagged = [entry for entry in stock.entries if entry.flags]
    if not flagged:
        return "Nothing was found."
    rows = [[entry.key, "; ".join(entry.flags)] for entry in flagged[:_SHOWN]]
    more = f"\n\nand {len(flagged) - _SHOWN} more, in the index" if len(flagged) > _SHOWN else ""
    listed = table(["identity", "why"], rows)
    return f"{len(flagged)} of {len(stock.entries)} identities are flagged.\n\n{listed}{more}"


def _cost(stock: Stock) -> str:
    if not stock.entries or not stock.each:
        return "Nothing yet."
    rows = [[stage, f"{seconds:.3f}", in_time(PAPERS_COUNT * seconds)] for stage, seconds in stock.seconds.items()]
    rows.append(["together", f"{stock.each:.3f}", in_time(PAPERS_COUNT * stock.each)])
    headings = ["stage", "seconds an identity", f"{PAPERS_COUNT:,} identities"]
    return f"{3600 / stock.each:,.0f} identities an hour, one after the other.\n\n" + table(headings, rows)
