"""Faces in photos: who recurs, and where in each photo that one is. Two people who may be meant are not guessed at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from portraitist.errors import BadPhoto
from portraitist.evaluation.encoders import Encoder, embed_images
from portraitist.evaluation.faces import FaceDetector, align
from portraitist.photos import decode_photo
from portraitist.preparation.sharpness import shrink

# Detectors know faces of ten to a few hundred pixels; a subject's face is not smaller than that here.
_DETECTED_SIDE = 768
# One who is in more than half as many photos as another may be the one that is meant.
_RIVAL = 0.5
_NAMED = 3

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Seen:
    """A face in a photo.

    Attributes:
        photo: Position of the photo.
        box: Left, top, right, bottom as shares of the photo's sides.
        embedding: Unit vector of whose face it is.
    """

    photo: int
    box: Box
    embedding: np.ndarray


@dataclass(frozen=True)
class FaceFinder:
    """Finds faces and says which belong to one person.

    Attributes:
        detector: Finds them.
        encoder: A face recognition network.
        likeness: Cosine above which two faces are one person's.
    """

    detector: FaceDetector
    encoder: Encoder
    likeness: float

    def find(self, photo: int, picture: Image.Image) -> list[Seen]:
        """Return the faces in a photo."""
        small = shrink(picture, _DETECTED_SIDE)
        faces = self.detector.find_all(small)
        if not faces:
            return []
        embedded = embed_images(self.encoder, [align(small, face.points) for face in faces]).numpy()
        sides = np.array([*small.size, *small.size])
        boxes = [tuple((np.array(face.box) / sides).clip(0, 1).tolist()) for face in faces]
        return [Seen(photo, box, row) for box, row in zip(boxes, embedded, strict=True)]

    def subject(self, seen: Sequence[Seen], photos: Sequence[Path], reference: Path | None) -> dict[int, Box]:
        """Return where in each photo the one who recurs is, by the photo's position.

        Args:
            seen: All faces of all photos.
            photos: The photos, for naming them.
            reference: A picture of the one who is meant, alone; None takes who recurs.

        Raises:
            BadPhoto: If nobody is seen, or two people may be meant.
        """
        people = group_people(seen, self.likeness)
        if not people:
            raise BadPhoto("there is no face in any of the photos; leave out --detector to prepare them without")
        person = people[0] if reference is None else self._named(people, reference)
        if reference is None and len(people) > 1 and len(people[1]) > _RIVAL * len(people[0]):
            first, second = (_places(person, photos) for person in people[:2])
            raise BadPhoto(
                f"two people appear often, one in {first} and one in {second}; say which is meant with --person PHOTO,"
                " which shows that person alone, or remove the other's photos"
            )
        return {face.photo: face.box for face in person}

    def _named(self, people: Sequence[Sequence[Seen]], reference: Path) -> Sequence[Seen]:
        """Return the person a picture shows."""
        faces = self.find(-1, decode_photo(reference))
        if len(faces) != 1:
            raise BadPhoto(f"{reference} shows {len(faces)} faces; --person needs a picture with exactly one")
        likeness = [float(np.mean([face.embedding @ faces[0].embedding for face in person])) for person in people]
        best = int(np.argmax(likeness))
        if likeness[best] < self.likeness:
            raise BadPhoto(
                f"the face in {reference} is in none of the photos (likeness {likeness[best]:.2f},"
                f" {self.likeness:g} needed); use another picture, or lower --face-likeness"
            )
        return people[best]


def group_people(seen: Sequence[Seen], likeness: float) -> list[list[Seen]]:
    """Group faces into people, those in most photos first: average linkage, and nobody is in one photo twice.

    Args:
        seen: Faces.
        likeness: Least mean cosine between the faces of two groups that are joined.
    """
    groups = [[face] for face in seen]
    while len(groups) > 1:
        candidates = [
            (_mean_cosine(groups[i], groups[j]), i, j)
            for i in range(len(groups))
            for j in range(i + 1, len(groups))
            if not {face.photo for face in groups[i]} & {face.photo for face in groups[j]}
        ]
        best = max(candidates, default=(-1.0, 0, 0))
        if best[0] < likeness:
            break
        groups[best[1]] += groups.pop(best[2])
    return sorted(groups, key=lambda group: (-len(group), group[0].photo))


def _mean_cosine(first: Sequence[Seen], second: Sequence[Seen]) -> float:
    return float(np.mean([one.embedding @ other.embedding for one in first for other in second]))


def _places(person: Sequence[Seen], photos: Sequence[Path]) -> str:
    names = [photos[face.photo].name for face in sorted(person, key=lambda face: face.photo)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} photo{'s' * (len(names) > 1)} ({', '.join(names[:_NAMED])}{more})"


def crop_box(face: Box, size: tuple[int, int], margin: float) -> tuple[int, int, int, int]:
    """Return a square around a face, in pixels: the face's longer side and a margin on every side.

    At a photo's edges it moves inwards; in a photo that is too narrow for it, it is as large as fits.

    Args:
        face: Shares of the photo's sides.
        size: Width and height of the photo.
        margin: In longer sides of the face.
    """
    width, height = size
    left, top, right, bottom = face[0] * width, face[1] * height, face[2] * width, face[3] * height
    side = min(round(max(right - left, bottom - top) * (1 + 2 * margin)), width, height)
    x = min(max(round((left + right - side) / 2), 0), width - side)
    y = min(max(round((top + bottom - side) / 2), 0), height - side)
    return x, y, x + side, y + side
