"""Captions for photos that have none, by an image-to-text network given by its folder."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError

from portraitist.errors import BadConfig
from portraitist.photos import CAPTION_SUFFIXES
from portraitist.preparation.preparing import Prepared
from portraitist.progress import quietly, track

# Kinds that caption a picture without being asked anything: BLIP, GIT, and pairs such as ViT with GPT-2.
_KINDS = ("blip", "git", "vision-encoder-decoder")
# Nothing is downloaded, no pickle is opened, and no code that lies in a folder is run, nor asked about.
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
# The usual way of BLIP's and GIT's captions (arXiv 2201.12086, section 5.2: three beams), at a prompt's length.
_BEAMS, _LONGEST = 3, 40
_SUBJECT = "{}"


@dataclass(frozen=True)
class Captioner:
    """A network that says what a picture shows.

    Attributes:
        model: Of transformers, with ``generate``.
        processor: Prepares pictures for it.
        tokenizer: Turns its tokens into words.
    """

    model: Any
    processor: Any
    tokenizer: Any

    @torch.no_grad()
    def describe(self, picture: Image.Image) -> str:
        """Return a caption, the same one every time."""
        pixels = self.processor(images=picture.convert("RGB"), return_tensors="pt").pixel_values
        tokens = self.model.generate(
            pixel_values=pixels.to(self.model.device), num_beams=_BEAMS, do_sample=False, max_new_tokens=_LONGEST
        )
        return " ".join(self.tokenizer.decode(tokens[0], skip_special_tokens=True).split())


def load_captioner(folder: Path, device: str | torch.device = "cpu") -> Captioner:
    """Load a captioner in the layout of transformers; nothing is downloaded.

    Raises:
        BadConfig: If it is missing, incomplete or of a kind that captions no pictures by itself.
    """
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise BadConfig(
            f"{folder} is no folder of an image-to-text model: it has no readable config.json; give the folder of BLIP,"
            " GIT or another captioner as transformers keeps it"
        ) from error
    if kind not in _KINDS:
        raise BadConfig(f"{folder} holds a model of kind {kind!r}; captioners can be: {', '.join(_KINDS)}")
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    try:
        with quietly():
            model, found = AutoModelForImageTextToText.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, **_LOCAL
            )
            processor = AutoImageProcessor.from_pretrained(folder, **_LOCAL)
            tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise BadConfig(f"the captioner {folder} is incomplete or damaged ({reason}); get it again") from error
    if missing := sorted(found["missing_keys"]):  # transformers makes up what a file lacks
        raise BadConfig(f"the captioner {folder} is incomplete (it lacks {missing[0]}); get it again")
    return Captioner(model.to(device).eval(), processor, tokenizer)


def caption(prepared: Prepared, captioner: Captioner, noun: str = "") -> dict[Path, str]:
    """Caption the kept photos that have no caption beside them.

    Args:
        prepared: The decisions.
        captioner: Says what they show.
        noun: The subject's noun; ``{}`` takes its place, which training fills with the subject.

    Returns:
        Captions by photo.
    """
    silent = [decision for decision in prepared.kept if not _has_caption(decision.path)]
    captions = {}
    with track(len(silent), "captions") as progress:
        for decision in silent:
            assert decision.picture is not None
            captions[decision.path] = name_subject(captioner.describe(decision.picture), noun)
            progress.advance()
    return captions


def name_subject(text: str, noun: str) -> str:
    """Put ``{}`` where a caption first names the subject; braces of its own go."""
    text = text.replace("{", "").replace("}", "")
    return re.sub(rf"\b{re.escape(noun)}\b", _SUBJECT, text, count=1, flags=re.IGNORECASE) if noun else text


def _has_caption(photo: Path) -> bool:
    return any(photo.with_suffix(suffix).is_file() for suffix in CAPTION_SUFFIXES)
