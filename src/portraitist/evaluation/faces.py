"""Finding the face of a picture, and cutting it out as face recognition networks expect it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from portraitist.errors import BadConfig, MissingExtra
from portraitist.evaluation.encoders.encoder import Weights
from portraitist.evaluation.encoders.locating import locate, revision
from portraitist.evaluation.encoders.preprocessing import Preprocessing

# Eyes, nose and corners of the mouth in ArcFace's crop of 112 x 112 (arXiv 1801.07698, its published code).
ARCFACE_POINTS = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
ARCFACE_SIDE = 112
_LEAST_SCORE = 0.6


@dataclass(frozen=True)
class Face:
    """A found face.

    Attributes:
        box: Left, top, right, bottom in pixels.
        points: Eyes, nose, corners of the mouth, left to right, ``[5, 2]`` in pixels.
    """

    box: tuple[float, float, float, float]
    points: np.ndarray

    @property
    def area(self) -> float:
        """Return the area of the box."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


@dataclass(frozen=True)
class FaceDetector(Weights):
    """YuNet (ONNX) through OpenCV; of several faces the largest counts."""

    detector: Any

    def find(self, image: Image.Image) -> Face | None:
        """Return the largest face, or None."""
        return max(self.find_all(image), key=lambda face: face.area, default=None)

    def find_all(self, image: Image.Image) -> list[Face]:
        """Return all faces."""
        pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])
        self.detector.setInputSize(image.size)
        _, rows = self.detector.detect(pixels)
        if rows is None:
            return []
        return [Face((x, y, x + w, y + h), np.array(rest[:10]).reshape(5, 2)) for x, y, w, h, *rest in rows.tolist()]

    def crop(self, image: Image.Image, aligned: bool) -> Image.Image | None:
        """Return the face, or None: aligned as ArcFace wants it, or the box that was found, as FaceNet does."""
        face = self.find(image)
        if face is None:
            return None
        return align(image, face.points) if aligned else image.crop(face.box)


def align(image: Image.Image, points: np.ndarray, side: int = ARCFACE_SIDE) -> Image.Image:
    """Turn, scale and move a picture so that a face's points come as near to ArcFace's as they can.

    Args:
        image: The picture.
        points: Eyes, nose, corners of the mouth, ``[5, 2]`` in pixels.
        side: Side of the square to make.
    """
    matrix = similarity(ARCFACE_POINTS * (side / ARCFACE_SIDE), points)
    return image.convert("RGB").transform(
        (side, side), Image.Transform.AFFINE, tuple(matrix.flatten()), Image.Resampling.BICUBIC
    )


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the rotation, scale and shift ``[2, 3]`` that map points onto others with the least squared error.

    With ``(a, b)`` the first column of the scaled rotation the problem is linear (Umeyama, TPAMI 1991, without
    reflections).

    Args:
        source: Points ``[n, 2]``.
        target: Where they go, ``[n, 2]``.
    """
    x, y = source.T
    ones, zeros = np.ones_like(x), np.zeros_like(x)
    system = np.concatenate([np.stack([x, -y, ones, zeros], 1), np.stack([y, x, zeros, ones], 1)])
    (a, b, right, down), *_ = np.linalg.lstsq(system, target.T.flatten(), rcond=None)
    return np.array([[a, -b, right], [b, a, down]])


def load_detector(name: str, device: str = "cpu") -> FaceDetector:
    """Load a detector of faces from YuNet's ONNX file.

    Raises:
        MissingExtra: If OpenCV is not installed.
        BadConfig: If the file is none.
    """
    path = locate(name)
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("faces", "opencv-python-headless") from error
    try:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        detector = cv2.FaceDetectorYN.create(str(path), "", (320, 320), _LEAST_SCORE)
    except cv2.error as error:
        raise BadConfig(f"{path} is not a face detector; give the ONNX file of YuNet") from error
    whole = Preprocessing(320, None, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return FaceDetector(name, revision(Path(path)), whole, torch.device(device), detector)
