"""Aligning faces: the similarity transform is the best one, and pixels go where points go."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.optimize import minimize

from portraitist.errors import BadConfig
from portraitist.evaluation.faces import ARCFACE_POINTS, Face, FaceDetector, align, load_detector, similarity


def test_a_similarity_is_found_again() -> None:
    angle, scale, shift = 0.4, 1.7, np.array([12.0, -5.0])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = similarity(ARCFACE_POINTS, ARCFACE_POINTS @ turn.T + shift)
    np.testing.assert_allclose(matrix, np.concatenate([turn, shift[:, None]], 1), atol=1e-9)


def test_it_has_the_least_squared_error() -> None:
    target = ARCFACE_POINTS + np.random.default_rng(0).normal(0, 6, (5, 2))

    def error(values: np.ndarray) -> float:
        a, b, x, y = values
        return float(((ARCFACE_POINTS @ np.array([[a, b], [-b, a]]) + (x, y) - target) ** 2).sum())

    best = minimize(error, [1, 0, 0, 0], method="BFGS").x
    (a, _, x), (b, _, y) = similarity(ARCFACE_POINTS, target)
    np.testing.assert_allclose([a, b, x, y], best, atol=1e-3)


def test_points_of_a_picture_come_to_their_places() -> None:
    points = ARCFACE_POINTS * 2 + (30, 10)
    image = Image.new("RGB", (300, 260))
    for x, y in points:
        ImageDraw.Draw(image).ellipse((x - 5, y - 5, x + 5, y + 5), fill="white")
    aligned = np.asarray(align(image, points).convert("L"))
    assert aligned.shape == (112, 112)
    assert all(aligned[round(y), round(x)] > 200 for x, y in ARCFACE_POINTS)


class OneRow:
    """OpenCV's detector as far as it is used: two faces, the second one larger."""

    def setInputSize(self, size: tuple[int, int]) -> None:
        self.size = size

    def detect(self, pixels: np.ndarray) -> tuple[int, np.ndarray | None]:
        assert pixels.shape == (self.size[1], self.size[0], 3)
        if not pixels.any():
            return 1, None
        points = ARCFACE_POINTS.flatten()
        return 1, np.array([[0, 0, 10, 10, *points, 0.9], [5, 6, 40, 50, *points, 0.8]], np.float32)


def test_the_largest_face_counts() -> None:
    detector = FaceDetector("d", "0", None, None, OneRow())  # type: ignore[arg-type]
    face = detector.find(Image.new("RGB", (120, 130), "red"))
    assert isinstance(face, Face)
    assert face.box == (5, 6, 45, 56)
    cropped = detector.crop(Image.new("RGB", (120, 130), "red"), aligned=False)
    aligned = detector.crop(Image.new("RGB", (120, 130), "red"), aligned=True)
    assert cropped is not None
    assert aligned is not None
    assert (cropped.size, aligned.size) == ((40, 50), (112, 112))
    assert detector.crop(Image.new("RGB", (120, 130)), aligned=True) is None


def test_a_file_that_finds_no_faces_is_refused(tmp_path: object) -> None:
    pytest.importorskip("cv2")
    path = f"{tmp_path}/bad.onnx"
    with open(path, "wb") as file:
        file.write(b"nothing")
    with pytest.raises(BadConfig, match="YuNet"):
        load_detector(path)
