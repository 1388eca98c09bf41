"""Near-duplicates: the same photo saved again, scaled, a little cropped, turned or mirrored; shots of one burst."""

from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageOps

from portraitist.errors import MissingExtra

BITS = 64


@dataclass(frozen=True)
class Look:
    """What a picture looks like, and its mirror image: perceptual hashes of 64 bits.

    The first (signs of low frequencies) forgives crops and turns, the second (signs of differences) is steady where a
    symmetric picture leaves the first one's signs to chance.

    Attributes:
        hashes: pHash and dHash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010).
        mirrored: The same of the mirror image.
    """

    hashes: tuple[Any, Any]
    mirrored: tuple[Any, Any]

    @classmethod
    def of(cls, picture: Image.Image) -> "Look":
        """Look at a picture.

        Raises:
            MissingExtra: If imagehash is not installed.
        """
        try:
            from imagehash import dhash, phash
        except ImportError as error:
            raise MissingExtra("prepare", "imagehash") from error
        other = ImageOps.mirror(picture)
        return cls((phash(picture), dhash(picture)), (phash(other), dhash(other)))

    def distances(self, other: "Look") -> tuple[int, int]:
        """Return how many bits differ in each hash, in the nearer of the picture and its mirror image."""
        pairs = ((self.hashes, other.hashes), (self.hashes, other.mirrored), (self.mirrored, other.hashes))
        sides = (tuple(int(one - two) for one, two in zip(*pair, strict=True)) for pair in pairs)
        phash, dhash = min(sides, key=sum)
        return phash, dhash
