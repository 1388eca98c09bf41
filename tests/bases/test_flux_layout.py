"""FLUX.1's original layout against diffusers' own converter, which knows the published width only."""

import torch
from diffusers import FluxTransformer2DModel
from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers
from original_layout import flux_weights
from torch import nn

from portraitist.bases.architectures import build_architecture
from portraitist.bases.flux_layout import modern_modules, original_module, part_rows, unflatten


def test_every_tensor_has_a_place_and_diffusers_puts_it_back() -> None:
    with torch.device("meta"):
        model = FluxTransformer2DModel(num_layers=2, num_single_layers=2, guidance_embeds=True)
    generator = torch.Generator().manual_seed(0)
    # One column is enough to see where every row goes.
    weights = {
        key: torch.randn(value.shape[0], *(1,) * (value.ndim - 1), generator=generator)
        for key, value in model.state_dict().items()
    }
    original = flux_weights(weights)
    back = convert_flux_transformer_checkpoint_to_diffusers(dict(original))
    assert back.keys() == weights.keys()
    assert all(value.equal(weights[key]) for key, value in back.items())


def test_names_with_underscores_and_rows_of_parts() -> None:
    transformer = build_architecture("flux")["transformer"]
    for path, module in transformer.named_modules():
        if isinstance(module, nn.Linear):
            name = original_module(path)
            assert name is not None
            assert unflatten(name.replace(".", "_")) == name
            parts = modern_modules(name)
            sizes = [transformer.get_submodule(part).out_features for part in parts]
            assert part_rows(parts, sum(sizes), module.in_features) == sizes
    assert original_module("transformer_blocks.0.attn.nothing") is None
    assert original_module("up_blocks.0.attn.to_q") is None
    assert modern_modules("double_blocks.x.img_attn.qkv") == modern_modules("img_attn") == ()
    assert unflatten("double_blocks_0_nothing") is None
