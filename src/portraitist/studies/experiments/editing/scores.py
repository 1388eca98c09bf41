"""How near an edit came: to its true answer, to the picture it must leave alone, to the identity it must keep."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from portraitist.evaluation.encoders import Encoder, embed_images
from portraitist.studies.experiments.editing.edits import KnownEdit
from portraitist.toyland.judges.examiner import Examiner
from portraitist.toyland.judges.questions import Answers, truth
from portraitist.toyland.judges.restoring import to_pictures

# Difference of a colour channel, of 255, from which a pixel counts as changed by the edit.
_CHANGED = 8


@dataclass(frozen=True)
class EditScores:
    """Scores of one result; None where the question has no answer.

    Attributes:
        recognised: 1 if the region that must change is nearer to the true answer than to the unedited picture.
        read: 1 if the examiner reads the scene, style or colour that was asked for; it has no question about the rest.
        gain: Part of the way from the picture to the true answer, in the region that must change: 1 is the answer
            itself, pixel by pixel, 0 as far as the unedited picture, below 0 farther.
        unchanged_error: Root mean squared error on [0, 1] where nothing must change; nothing is left in style edits.
        identity: Cosine of the identity embeddings of the result and the true answer.
    """

    recognised: float
    read: float | None
    gain: float
    unchanged_error: float | None
    identity: float


def score_edits(
    edits: Sequence[KnownEdit], results: Sequence[Image.Image], examiner: Examiner, encoder: Encoder
) -> list[EditScores]:
    """Score one result of each edit.

    Args:
        edits: The edits.
        results: A result of each, all of one size.
        examiner: Reads what a picture shows.
        encoder: Recognises identities.
    """
    size = results[0].width
    pairs = [known.pictures(size) for known in edits]
    readings = examiner.read(to_pictures(results))
    drawn, wanted = embed_images(encoder, results), embed_images(encoder, [after for _, after in pairs])
    identities = (drawn * wanted).sum(-1).tolist()
    scores = []
    for known, (before, after), result, reading, identity in zip(
        edits, pairs, results, readings, identities, strict=True
    ):
        old, new, found = (np.asarray(image.convert("RGB"), np.float64) / 255 for image in (before, after, result))
        changed = np.abs(old - new).max(-1) > _CHANGED / 255
        missing, made = _rms((found - new)[changed]), _rms((found - old)[changed])
        scores.append(
            EditScores(
                recognised=float(missing < made),
                read=_find_target(known, reading),
                gain=1 - missing / _rms((old - new)[changed]),
                unchanged_error=None if changed.all() else _rms((found - old)[~changed]),
                identity=identity,
            )
        )
    return scores


# What the examiner is asked about an edit; whom a removal leaves is not where it looks for one alone.
_ASKED = {"scene": ("scene",), "style": ("style",), "colour": ("number", "centre kind", "centre colour")}


def _find_target(known: KnownEdit, reading: Answers) -> float | None:
    """Say whether the examiner reads what was asked for."""
    wanted = truth(known.after)
    questions = _ASKED.get(known.kind, ())
    return float(all(reading[question] == wanted[question] for question in questions)) if questions else None


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))
