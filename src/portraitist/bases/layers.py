"""Named sets of layers for each family, as patterns on ``component.module.path``."""

from collections.abc import Mapping
from types import MappingProxyType

from portraitist.errors import BadConfig

LayerSets = Mapping[str, tuple[str, ...]]


def _attention(denoiser: str) -> tuple[str, ...]:
    return tuple(f"{denoiser}.*.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0"))


_FLUX_CONTEXT = tuple(f"transformer.*.attn.{name}" for name in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"))
_FLUX_FEED_FORWARD = tuple(
    f"transformer.*.{ff}.{name}" for ff in ("ff", "ff_context") for name in ("net.0.proj", "net.2")
)


def _text_attention(*encoders: str) -> tuple[str, ...]:
    projections = ("q_proj", "k_proj", "v_proj", "out_proj")
    return tuple(f"{encoder}.*.{name}" for encoder in encoders for name in projections)


def _unet_sets(*encoders: str) -> LayerSets:
    """Return the sets of a model with a UNet and CLIP text encoders."""
    attention, text_attention = _attention("unet"), _text_attention(*encoders)
    everything = tuple(f"{encoder}.*" for encoder in encoders)
    embeddings = tuple(f"!{encoder}.*embedding*" for encoder in encoders)
    return MappingProxyType(
        {
            "attention": attention,
            "attention+text": (*attention, *text_attention),
            "text-attention": text_attention,
            # HyperDreamBooth's count needs the first feed-forward projection too (arXiv 2307.06949).
            "lidb-paper": (*attention, "unet.*.ff.net.0.proj", *text_attention),
            "text-encoder": everything,
            "token-embedding": tuple(f"{encoder}.*token_embedding" for encoder in encoders),
            "unet": ("unet.*",),
            "unet+text": ("unet.*", *everything, *embeddings),
            # The subsets of SVDiff's table 1 (arXiv 2303.11305).
            "UNet": ("unet.*",),
            "UNet-CA": ("unet.*.attn2.*",),
            "UNet-CA-KV": ("unet.*.attn2.to_k", "unet.*.attn2.to_v"),
            "UNet-1D": ("norm:unet.*",),
            "UNet-2D": ("linear:unet.*",),
            "UNet-4D": ("conv:unet.*",),
            "Up-Blocks": ("unet.up_blocks.*",),
            "Down-Blocks": ("unet.down_blocks.*",),
            "Mid-Block": ("unet.mid_block.*",),
            "Up-CA": ("unet.up_blocks.*.attn2.*",),
            "Down-CA": ("unet.down_blocks.*.attn2.*",),
            "Mid-CA": ("unet.mid_block.*.attn2.*",),
        }
    )


LAYER_SETS: Mapping[str, LayerSets] = MappingProxyType(
    {
        "sd": _unet_sets("text_encoder"),
        "sdxl": _unet_sets("text_encoder", "text_encoder_2"),
        "flux": MappingProxyType(
            {
                "attention": _attention("transformer"),
                # Pictures and text, attention and feed-forward: as newer versions of diffusers' LoRA script for FLUX.1.
                "blocks": (*_attention("transformer"), *_FLUX_CONTEXT, *_FLUX_FEED_FORWARD),
                # Only CLIP: its pooled state and T5's states both steer, but adapters of T5 are not in use.
                "attention+text": (*_attention("transformer"), *_text_attention("text_encoder")),
                "text-attention": _text_attention("text_encoder"),
                "token-embedding": ("text_encoder.*token_embedding",),
                "transformer": ("transformer.*",),
                "matrices": ("linear:transformer.*",),
            }
        ),
    }
)

# Where SVDiff's style mixing takes geometry from: its layers (16, down, 1) to (8, down, 0), in the counting of XTI
# (arXiv 2303.09522), are the last attention going down and the one in the middle. The names for SDXL and toyland are
# those of the same places; our choice, as the paper has Stable Diffusion 1.x only.
_MIDDLE = "unet.mid_block.attentions.0.*"
GEOMETRY_LAYERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sd": ("unet.down_blocks.2.attentions.1.*", _MIDDLE),
        "sdxl": ("unet.down_blocks.2.attentions.1.*", _MIDDLE),
        "toyland": ("unet.down_blocks.2.attentions.0.*", _MIDDLE),
    }
)


def geometry_layers(base: str, family: str) -> tuple[str, ...]:
    """Return patterns of the layers that shape a subject, of a base or else of its family.

    Raises:
        BadConfig: If they are not known.
    """
    for name in (base, family):
        if name in GEOMETRY_LAYERS:
            return GEOMETRY_LAYERS[name]
    raise BadConfig(
        f"the layers that determine geometry are not known for {base} ({family}); name them with --geometry"
    )
