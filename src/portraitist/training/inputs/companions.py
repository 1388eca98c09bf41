"""What may lie beside a photo: its caption in ``photo.txt`` or ``photo.caption``, its mask in ``photo.mask.png``."""

import string
from pathlib import Path

from PIL import Image

from portraitist.errors import BadPhoto
from portraitist.photos import CAPTION_SUFFIXES, MASK_SUFFIX, decode_photo
from portraitist.reading import read_text
from portraitist.training.recipes.groups import PhotoSettings
from portraitist.training.subjects import Subject

# More is a file of another kind; a page of text has a tenth of it.
_CAPTION_LIMIT = 2**16


def read_caption(subject: Subject, photo: Path, prompt: str) -> str:
    """Return the caption beside a photo, with the subject in it; the prompt where there is none.

    ``{}`` in a caption becomes the subject; a caption without it and without the subject's token follows the prompt.

    Raises:
        BadPhoto: If it is there and cannot be read.
    """
    file = find_caption(photo)
    if file is None:
        return prompt
    caption = " ".join(read_text(file, "a caption", BadPhoto, _CAPTION_LIMIT).split())
    if not caption:
        return prompt
    if "{}" in caption:
        return subject.prompt(caption)
    words = {word.strip(string.punctuation).lower() for word in caption.split()}
    return caption if subject.token.lower() in words else f"{prompt}, {caption}"


def find_caption(photo: Path) -> Path | None:
    """Return the file beside a photo that describes it; None where there is none."""
    files = (photo.with_suffix(suffix) for suffix in CAPTION_SUFFIXES)
    return next((file for file in files if file.exists()), None)


def mask_path(photo: Path) -> Path:
    """Return where a photo's mask lies, if it has one."""
    return photo.with_name(photo.stem + MASK_SUFFIX)


def read_mask(photo: Path) -> Image.Image | None:
    """Return the mask beside a photo, white where the subject is; None where there is none.

    Raises:
        BadPhoto: If it cannot be read, is not of the photo's size, or is black all over.
    """
    file = mask_path(photo)
    if not file.exists():
        return None
    mask, size = decode_photo(file).convert("L"), decode_photo(photo).size
    if mask.size != size:
        raise BadPhoto(
            f"the mask {file} is {mask.width} x {mask.height}, but {photo.name} is {size[0]} x {size[1]} (upright);"
            " make it the same size"
        )
    if mask.getextrema()[1] == 0:
        raise BadPhoto(f"the mask {file} is black all over; paint the subject white, or remove it")
    return mask


def missing_companions(subject: Subject, photos: PhotoSettings) -> list[str]:
    """Return a line for each kind of companion that a recipe reads and no photo of the subject has."""
    lines = []
    if photos.captions and not any(find_caption(path) for path in subject.paths):
        lines.append(f"photos.captions is set but {subject.name} has no captions; put photo.txt beside photo.png")
    if photos.masks and not any(mask_path(path).exists() for path in subject.paths):
        lines.append(f"photos.masks is set but {subject.name} has no masks; put photo{MASK_SUFFIX} beside photo.png")
    return lines
