"""The network of LPIPS (arXiv 1801.03924) on AlexNet, from the weights of the package lpips saved as safetensors."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from portraitist.errors import BadConfig
from portraitist.evaluation.encoders.encoder import Weights
from portraitist.evaluation.encoders.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

# Name of each convolution in ``lpips.LPIPS(net="alex").state_dict()``, its stride and padding, whether pooled before.
_CONVOLUTIONS = (
    ("net.slice1.0", 4, 2, False),
    ("net.slice2.3", 1, 2, True),
    ("net.slice3.6", 1, 1, True),
    ("net.slice4.8", 1, 1, False),
    ("net.slice5.10", 1, 1, False),
)
_HEAD = "lin{}.model.1.weight"
# Its scaling layer on [-1, 1] is ImageNet's normalisation on [0, 1]. The side is our choice: the papers do not say.
_PREPROCESSING = Preprocessing(256, 256, "bicubic", IMAGENET_MEAN, IMAGENET_STD)


@dataclass(frozen=True)
class LpipsEncoder(Weights):
    """AlexNet's five convolutions, and how much each of their channels counts."""

    tensors: dict[str, Tensor]

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        """Return the mean of the last feature map ``[n, 256]``."""
        return self.feature_maps(pixels)[-1].mean((2, 3))

    def feature_maps(self, pixels: Tensor) -> list[Tensor]:
        """Return the five maps after their rectifiers."""
        maps, hidden = [], pixels
        for name, stride, padding, pooled in _CONVOLUTIONS:
            if pooled:
                hidden = F.max_pool2d(hidden, 3, 2)
            weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
            hidden = F.relu(F.conv2d(hidden, weight, bias, stride, padding))
            maps.append(hidden)
        return maps

    def channel_weights(self) -> list[Tensor]:
        """Return the learnt weights of the channels."""
        return [self.tensors[_HEAD.format(layer)].flatten() for layer in range(len(_CONVOLUTIONS))]


def load_lpips(name: str, path: Path, revision: str, device: torch.device) -> LpipsEncoder:
    """Read the weights.

    Raises:
        BadConfig: If the file does not hold them.
    """
    wanted = [f"{layer}.{part}" for layer, *_ in _CONVOLUTIONS for part in ("weight", "bias")]
    wanted += [_HEAD.format(layer) for layer in range(len(_CONVOLUTIONS))]
    try:
        tensors = load_file(path)
        chosen = {key: tensors[key].float().to(device) for key in wanted}
    except (OSError, SafetensorError, KeyError) as error:
        raise BadConfig(
            f"{path} does not hold the weights of lpips.LPIPS(net='alex') ({error}); docs/evaluation.md says how to"
            " save them"
        ) from error
    return LpipsEncoder(name, revision, _PREPROCESSING, device, chosen)
