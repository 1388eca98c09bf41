"""A source by what the user calls it."""

from collections.abc import Sequence
from pathlib import Path

from portraitist.errors import BadConfig, BadPhoto
from portraitist.hypernetworks.identities.sources.drawn import ALL, NAME, DrawnSource, choose_kinds
from portraitist.hypernetworks.identities.sources.folders import FolderSource
from portraitist.hypernetworks.identities.sources.source import Source, Words
from portraitist.toyland.world.identities import SPLITS

# Identities that are drawn where nobody says how many.
USUAL_COUNT = 1000


def is_drawn(text: str) -> bool:
    """Say whether a source is drawn from toyland rather than a folder."""
    return text.partition(":")[0] == NAME and not Path(text).is_dir()


def check_source(text: str, kinds: Sequence[str], class_noun: str | None, split: str | None) -> None:
    """Refuse what cannot be a source.

    Raises:
        BadConfig: If a kind, a split or a combination does not exist.
        BadPhoto: If there is no such folder.
    """
    if split not in (None, ALL, *SPLITS):
        raise BadConfig(f"identities are split into {', '.join(SPLITS)}; give one of them, or {ALL}, not {split!r}")
    if is_drawn(text):
        choose_kinds(_words(text, kinds))
        if class_noun is not None:
            raise BadConfig("toyland's identities have class nouns of their own; leave --class out")
    elif kinds:
        raise BadConfig(
            "--kinds chooses among toyland's kinds; leave it out, and give a folder with only the ones you want"
        )
    elif not Path(text).is_dir():
        raise BadPhoto(f"{text} is not a folder; give toyland:people, or a folder with a folder for each identity")


def open_source(
    text: str,
    kinds: Sequence[str],
    class_noun: str | None,
    count: int | None,
    split: str | None,
    photos: int,
    side: int,
    words: Words,
    seed: int,
    alike: int = 0,
) -> tuple[Source, str]:
    """Open a source; return it, and the split it is of.

    Args:
        text: ``toyland``, ``toyland:people``, ``toyland:cats,robots``, or a folder of folders.
        kinds: Kinds of toyland, above those of the text.
        class_noun: What the identities of a folder are.
        count: How many identities; None for all of a folder, or `USUAL_COUNT`.
        split: Of which split; None for ``train`` where identities are drawn, and for all of a folder.
        photos: Photos of each.
        side: Of the photos, in pixels.
        words: How a base is asked for them.
        seed: Seed of everything drawn.
        alike: How many photos of each are drawn as everybody's are; a folder's are as they are.

    Raises:
        BadConfig: If a kind does not exist or has not so many, or nothing says what a folder's identities are.
        BadPhoto: If there is no such folder.
    """
    check_source(text, kinds, class_noun, split)
    if not is_drawn(text):
        split = split or ALL
        return FolderSource(Path(text), class_noun, count, split, photos, side, words), split
    split, chosen = split or "train", choose_kinds(_words(text, kinds))
    source = DrawnSource(chosen, count or USUAL_COUNT, split, photos, side, words, seed, alike)
    _ = source.chosen  # refuses more than there are before anything is written
    return source, split


def _words(text: str, kinds: Sequence[str]) -> list[str]:
    named = [word.strip() for word in text.partition(":")[2].split(",") if word.strip()]
    return list(kinds) or named or [ALL]
