"""Encoders from ONNX files: face recognition (ArcFace, FaceNet) and the Inception network of FID."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from portraitist.errors import BadConfig, MissingExtra
from portraitist.evaluation.encoders.encoder import Weights
from portraitist.evaluation.encoders.preprocessing import Preprocessing


def _centred(size: int, centre: float, scale: float, rounded: bool = True) -> Preprocessing:
    """Squeeze to a square and map levels ``x`` of 0 to 255 to ``(x - centre) / scale``."""
    mean, std = centre / 255, scale / 255
    return Preprocessing(size, None, "bicubic", (mean, mean, mean), (std, std, std), rounded)


# The sides of the usual networks tell them apart.
KNOWN = {
    112: _centred(112, 127.5, 127.5),  # ArcFace, as insightface feeds it
    160: _centred(160, 127.5, 128.0),  # FaceNet, as facenet-pytorch feeds it
    299: _centred(299, 128.0, 128.0, rounded=False),  # Inception-v3 of 2015, as clean-fid feeds it
}


@dataclass(frozen=True)
class OnnxEncoder(Weights):
    """A network with one picture input ``[n, 3, h, w]``; its first output is the embedding."""

    session: Any

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        """Return the first output, flattened to ``[n, d]``."""
        entry = self.session.get_inputs()[0]
        # Networks exported for one picture at a time take one picture at a time.
        batches = pixels.split(entry.shape[0]) if isinstance(entry.shape[0], int) else (pixels,)
        outputs = [torch.from_numpy(self.session.run(None, {entry.name: batch.numpy()})[0]) for batch in batches]
        return torch.cat(outputs).flatten(1)


def load_onnx(name: str, path: Path, revision: str, preprocessing: Preprocessing | None = None) -> OnnxEncoder:
    """Open an ONNX file; it runs on the CPU, or on CUDA where onnxruntime has it.

    Args:
        name: Name of the encoder.
        path: The file.
        revision: Hash of its weights.
        preprocessing: How its pictures are prepared; known for sides of 112 (ArcFace), 160 (FaceNet), 299 (Inception).

    Raises:
        MissingExtra: If onnxruntime is not installed.
        BadConfig: If the file is not a network, or it is not known how its pictures are prepared.
    """
    session = open_session(path)
    side = session.get_inputs()[0].shape[-1]
    chosen = preprocessing or KNOWN.get(side)
    if chosen is None:
        known = ", ".join(map(str, KNOWN))
        raise BadConfig(
            f"{path} takes pictures of side {side}; how to prepare them is known for {known}, so export it with a fixed"
            " side, or give `preprocessing`"
        )
    return OnnxEncoder(name, revision, chosen, torch.device("cpu"), session)


def open_session(path: Path) -> Any:
    """Open an ONNX file.

    Raises:
        MissingExtra: If onnxruntime is not installed.
        BadConfig: If the file cannot be opened.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnx", "onnxruntime") from error
    try:
        return onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
    except Exception as error:  # onnxruntime's errors share no base class
        raise BadConfig(f"{path} cannot be opened as an ONNX network ({str(error).splitlines()[0]})") from error
