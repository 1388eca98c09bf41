"""What several requests choose: a base, adapters, regions of pictures, subjects."""

import math
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, FiniteFloat

from portraitist.errors import BadConfig
from portraitist.requests.usual import DEFAULT_TOKEN
from portraitist.requests.value import Value

_FITS = ("crop", "pad")


class BaseChoice(Value):
    """A base model and how it is held.

    Attributes:
        name: What `portraitist.bases.load_base` takes; None for the one that adapters name, or toyland without any.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the fastest there is.
        precision: ``fp16``, ``bf16`` or ``fp32``; None for what is usual on the device.
        bits: Bits of its linear weights, 8 or 4; None leaves them as they are.
        resolution: Side of the pictures, in pixels; None for that of the adapters' photos, or the base's own.
    """

    name: str | None = None
    device: str = "auto"
    precision: str | None = None
    bits: int | None = None
    resolution: int | None = None


class AdapterChoice(Value):
    """An adapter's file, of any format, and its strength."""

    file: Path
    scale: FiniteFloat = 1.0

    @classmethod
    def parse_text(cls, text: str) -> "AdapterChoice":
        """Parse ``FILE`` or ``FILE:SCALE``.

        Raises:
            BadConfig: If the scale is no finite number.
        """
        name, colon, number = text.rpartition(":")
        if not colon or Path(text).exists():
            return cls(file=Path(text))
        try:
            scale = float(number)
        except ValueError:
            return cls(file=Path(text))
        if not math.isfinite(scale):
            raise BadConfig(f"the scale of an adapter must be a finite number, not {number} as in {text}")
        return cls(file=Path(name), scale=scale)


class RegionChoice(Value):
    """A part of the pictures with a prompt, and perhaps an adapter, of its own.

    Attributes:
        place: ``left``, ``right``, ``top``, ``bottom``, a box ``x0,y0,x1,y1``, or a picture that is white inside.
        prompt: What is to be seen there.
        adapter: What acts there only.
        base_ratio: How strongly the main prompt counts there; None for the default.
        start: Fraction of the sampling after which the region counts; None for the default.
    """

    place: str
    prompt: str
    adapter: AdapterChoice | None = None
    base_ratio: float | None = Field(None, ge=0, le=1)
    start: float | None = Field(None, ge=0, le=1)

    @classmethod
    def parse_text(cls, text: str, base_ratio: float | None = None, start: float | None = None) -> "RegionChoice":
        """Parse ``PLACE=PROMPT`` or ``PLACE=PROMPT@FILE[:SCALE]``.

        Raises:
            BadConfig: If a part is missing.
        """
        place, _, rest = (part.strip() for part in text.partition("="))
        prompt, at, adapter = (part.strip() for part in rest.rpartition("@")) if "@" in rest else (rest, "", "")
        if not place or not prompt or (at and not adapter):
            raise BadConfig(
                f"a region is written PLACE=PROMPT or PLACE=PROMPT@ADAPTER, as in 'left=a sks cat', not {text!r}"
            )
        chosen = AdapterChoice.parse_text(adapter) if adapter else None
        return cls(place=place, prompt=prompt, adapter=chosen, base_ratio=base_ratio, start=start)


class SubjectChoice(Value):
    """Who or what to teach, before its photos are read.

    Attributes:
        photos: Folders of photos, or pictures.
        class_noun: What kind of thing it is.
        token: The rare word that will mean it.
    """

    photos: tuple[Path, ...]
    class_noun: str
    token: str = DEFAULT_TOKEN


def name_files(paths: Sequence[Path]) -> dict[Path, str]:
    """Name adapters by their files; a second one of the same name by its whole path.

    Raises:
        BadConfig: If one is given twice.
    """
    names: dict[Path, str] = {}
    for path in paths:
        if path in names:
            raise BadConfig(f"{path} is given twice; give it once, with the sum of the scales")
        names[path] = path.name if path.name not in names.values() else str(path)
    return names


def check_adapter(path: Path) -> None:
    """Refuse an adapter's file that is not there or is damaged, from its header alone.

    Raises:
        BadFile: Saying what is wrong.
    """
    from portraitist.adapters.outline import read_outline

    if not path.is_dir():
        read_outline(path)


def check_fit(fit: str) -> None:
    """Refuse a way to make pictures square that there is not.

    Raises:
        BadConfig: Naming those there are.
    """
    if fit not in _FITS:
        raise BadConfig(f"pictures can be fitted by {' or '.join(_FITS)}, not {fit!r}")
