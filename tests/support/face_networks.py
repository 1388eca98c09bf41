"""Face networks small enough to write down: they see squares of pure colours, through the libraries that run real ones.

The detector has YuNet's outputs: one prediction a cell of 8, 16 and 32 pixels. Its faces are what is far redder or
bluer than green, where that fills a cell of 32; each is as large as the cell. The recogniser tells colours apart.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CELL = 32
_STRIDES = (8, 16, CELL)
# Eyes, nose and corners of the mouth, in cells from a cell's corner.
_POINTS = ((0.3, 0.3), (0.7, 0.3), (0.5, 0.5), (0.35, 0.75), (0.65, 0.75))


def save_detector(path: Path) -> Path:
    """Write a detector that `cv2.FaceDetectorYN` opens."""
    constants: dict[str, np.ndarray] = {
        # Blue, green, red: how far red and blue together are above twice green, as a share of a full channel.
        "weight": np.array([1, -2, 1], np.float32).reshape(1, 3, 1, 1) / 255,
        "flat1": np.array([1, -1, 1], np.int64),
        "low": np.array(0, np.float32),
        "high": np.array(1, np.float32),
        "none": np.array(0, np.float32),
        "box": np.tile(np.array([0.5, 0.5, 0.0, 0.0], np.float32), (1, 1, 1)),
        "points": np.array(_POINTS, np.float32).reshape(1, 1, 10),
    }
    nodes = [helper.make_node("Conv", ["input", "weight"], ["colour"])]
    outputs = []
    for stride in _STRIDES:
        mean, flat = f"mean_{stride}", f"flat_{stride}"
        nodes += [
            helper.make_node("AveragePool", ["colour"], [mean], kernel_shape=[stride] * 2, strides=[stride] * 2),
            helper.make_node("Reshape", [mean, "flat1"], [flat]),
        ]
        nodes.append(helper.make_node("Clip", [flat, "low", "high"], [f"score_{stride}"]))
        scale = "high" if stride == CELL else "none"
        for name in ("cls", "obj"):
            nodes.append(helper.make_node("Mul", [f"score_{stride}", scale], [f"{name}_{stride}"]))
            outputs.append((f"{name}_{stride}", 1))
        nodes.append(helper.make_node("Mul", [flat, "none"], [f"zero_{stride}"]))
        for name, constant, width in (("bbox", "box", 4), ("kps", "points", 10)):
            nodes.append(helper.make_node("Add", [f"zero_{stride}", constant], [f"{name}_{stride}"]))
            outputs.append((f"{name}_{stride}", width))
    order = sorted(outputs, key=lambda entry: ["cls", "obj", "bbox", "kps"].index(entry[0].partition("_")[0]))
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "n", width]) for name, width in order],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return _save(graph, path)


def save_recogniser(path: Path) -> Path:
    """Write a network with ArcFace's input whose embedding is the picture's mean colour."""
    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["input"], ["embedding"])],
        "recogniser",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 3, 1, 1])],
    )
    return _save(graph, path)


def _save(graph: onnx.GraphProto, path: Path) -> Path:
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
