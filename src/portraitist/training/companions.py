"""What may lie beside a photo: its caption in ``photo.txt``, the subject's mask in ``photo.mask.png``."""

from pathlib import Path

from PIL import Image

from portraitist.errors import BadPhoto
from portraitist.photos import MASK_SUFFIX, decode_photo
from portraitist.training.subjects import Subject


def read_caption(subject: Subject, photo: Path, prompt: str) -> str:
    """Return the caption beside a photo, with the subject in it; the prompt where there is none.

    ``{}`` in a caption becomes the subject; a caption without it and without the subject's token follows the prompt.

    Raises:
        BadPhoto: If it is there and cannot be read.
    """
    file = photo.with_suffix(".txt")
    if not file.exists():
        return prompt
    try:
        caption = " ".join(file.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise BadPhoto(f"the caption {file} cannot be read ({error}); save it as UTF-8 text") from error
    if not caption:
        return prompt
    if "{}" in caption:
        return subject.prompt(caption)
    return caption if subject.token in caption.split() else f"{prompt}, {caption}"


def read_mask(photo: Path) -> Image.Image | None:
    """Return the mask beside a photo, white where the subject is; None where there is none.

    Raises:
        BadPhoto: If it cannot be read, is not of the photo's size, or is black all over.
    """
    file = photo.with_name(photo.stem + MASK_SUFFIX)
    if not file.exists():
        return None
    mask, size = decode_photo(file).convert("L"), decode_photo(photo).size
    if mask.size != size:
        raise BadPhoto(
            f"the mask {file} is {mask.width} x {mask.height}, but {photo.name} is {size[0]} x {size[1]} (upright);"
            " draw it on the photo"
        )
    if mask.getextrema()[1] == 0:
        raise BadPhoto(f"the mask {file} is black all over; paint the subject white, or remove it")
    return mask
