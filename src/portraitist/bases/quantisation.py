"""A frozen denoiser in fewer bits, so that large bases fit small devices; adapters on it stay in full precision."""

from typing import Any, Literal, get_args

import torch
from torch import nn

from portraitist.errors import BadConfig, MissingExtra

Bits = Literal[4, 8]

# Inputs beyond it are multiplied in half precision, as published (arXiv 2208.07339, section 3.2).
_OUTLIER = 6.0


def check_bits(bits: int | None) -> None:
    """Refuse a number of bits that there is no format for.

    Raises:
        BadConfig: If it is neither 4 nor 8.
        MissingExtra: If bitsandbytes is not installed.
    """
    if bits is None:
        return
    if bits not in get_args(Bits):
        raise BadConfig(f"a base can be held in 8 or 4 bits, not in {bits}")
    _library()


def quantise(model: nn.Module, bits: int, device: str | torch.device) -> None:
    """Put the weights of a model's linear layers into fewer bits, one after the other; for good.

    LLM.int8() (arXiv 2208.07339) for 8 bits, NF4 (arXiv 2305.14314) for 4; biases, norms and convolutions stay. The
    rest of the model is not moved.

    Args:
        model: The frozen model, its weights still in full.
        bits: 8 or 4.
        device: Where the layers go.
    """
    layers = [(name, module) for name, module in model.named_modules() if type(module) is nn.Linear]
    for name, layer in layers:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, _quantised(layer, bits, device))


def _quantised(layer: nn.Linear, bits: int, device: str | torch.device) -> nn.Module:
    """Return a layer of the same function, nearly; its weight is packed on its way to the device."""
    library = _library().nn
    weight, shape = layer.weight.data, (layer.in_features, layer.out_features)
    with torch.device("meta"):
        if bits == 8:
            packed = library.Linear8bitLt(*shape, layer.bias is not None, has_fp16_weights=False, threshold=_OUTLIER)
        else:
            packed = library.Linear4bit(*shape, layer.bias is not None, quant_type="nf4")
    if bits == 8:
        packed.weight = library.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    else:
        packed.weight = library.Params4bit(weight, requires_grad=False, quant_type="nf4")
        # On processors with bfloat16 it would pack weights anew at their first use, for inference only: layers narrower
        # than a block of 64 fail there, and what is packed so cannot be trained through afterwards.
        packed.support_avx512bf16_for_cpu = False
    packed.bias = layer.bias
    result: nn.Module = packed.to(device).eval().requires_grad_(False)
    return result


def _library() -> Any:
    try:
        import bitsandbytes
    except ImportError as error:
        raise MissingExtra("bitsandbytes", "bitsandbytes") from error
    return bitsandbytes
