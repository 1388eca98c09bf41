"""Whose module a key in a file means: component, path and geometry of the layer.

Files write module names in three ways: dotted (``down_blocks.0.attentions.0.proj_in``), flattened, with underscores
where the dots were (kohya's sd-scripts), and flattened in the original Stable Diffusion layout
(``input_blocks_1_1_proj_in``). Flattened names are ambiguous. With a base at hand they are looked up among its modules;
without, they are parsed with the vocabulary of the known families.
"""

import math
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from torch import nn

from portraitist.adapters.description import LAYER_LIMIT
from portraitist.adapters.layer import describe_layer
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.bases.flux_layout import unflatten
from portraitist.errors import BadFile, MissingBase
from portraitist.exchange.fused import COMPONENT as FUSED
from portraitist.exchange.fused import is_fused, parts_of

Components = Mapping[str, nn.Module]

# Every part of a dotted module name in the known families. A flattened name is read as the longest of these in turn.
_UNETS = """
    down_blocks up_blocks mid_block resnets attentions downsamplers upsamplers transformer_blocks attn1
    attn2 attn to_q to_k to_v to_out ff net proj proj_in proj_out norm norm1 norm2 norm3 conv conv1 conv2
    conv_in conv_out conv_norm_out conv_shortcut time_emb_proj time_embedding add_embedding linear_1
    linear_2
"""
_TEXT_ENCODERS = """
    text_model encoder layers self_attn q_proj k_proj v_proj out_proj mlp fc1 fc2 layer_norm1 layer_norm2
    final_layer_norm embeddings token_embedding position_embedding text_projection shared embed_tokens
    relative_attention_bias block layer SelfAttention DenseReluDense q k v o wi wi_0 wi_1 wo
"""
_TRANSFORMERS = """
    single_transformer_blocks ff_context add_q_proj add_k_proj add_v_proj to_add_out proj_mlp norm1_context
    norm_out linear x_embedder context_embedder time_text_embed timestep_embedder text_embedder
    guidance_embedder
"""
_WORDS = frozenset((_UNETS + _TEXT_ENCODERS + _TRANSFORMERS).split())
_COMPONENTS = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3")
# What ComfyUI and others write before dotted names of the original layout.
_ORIGINAL_PREFIX = re.compile(r"(unet\.)?(model\.)?diffusion_model\.")
# What ComfyUI writes before names of text encoders; T5 is the second of FLUX.1's.
_TEXT_PREFIXES = {
    "text_encoders.clip_l.transformer.": "text_encoder",
    "text_encoders.clip_g.transformer.": "text_encoder_2",
    "text_encoders.t5xxl.transformer.": "text_encoder_2",
}
_LONGEST = max(word.count("_") + 1 for word in _WORDS)
# The convolutions of UNets.
_KERNELS = {**dict.fromkeys(("conv", "conv1", "conv2", "conv_in", "conv_out"), (3, 3)), "conv_shortcut": (1, 1)}
# Residual blocks of the original layout.
_RESNET_PARTS = {
    "in_layers_2": "conv1",
    "emb_layers_1": "time_emb_proj",
    "out_layers_3": "conv2",
    "skip_connection": "conv_shortcut",
}
_ORIGINAL = {
    "input_blocks_0_0": "conv_in",
    "out_2": "conv_out",
    "time_embed_0": "time_embedding.linear_1",
    "time_embed_2": "time_embedding.linear_2",
    "label_emb_0_0": "add_embedding.linear_1",
    "label_emb_0_2": "add_embedding.linear_2",
}
# Numbers that a file may be multiplied out to without a look at the base; a gigabyte in float32.
_UNSEEN_LIMIT = 2**28
# Resolutions of the original layout have two residual blocks (three going up) in all Stable Diffusion UNets.
_STAGE = 3


class Naming:
    """Resolves module names of files, against a base's modules where they are known."""

    def __init__(self, path: Path, components: Components | None) -> None:
        self.path = path
        self.components = components
        self._flattened: dict[str, dict[str, list[str]]] = {}
        self._described: set[str] = set()
        self._multiplied = 0

    def dotted(self, component: str, path: str) -> str:
        """Return the layer's name for a dotted path, of the original layout too where it begins as that does.

        Layers of FLUX.1's original layout that are no single one of diffusers' keep their names; see `fused`.

        Raises:
            BadFile: If the base has no such module.
            MissingBase: If the base is unknown and the path is of no known family.
        """
        if not re.fullmatch(r"[\w\-]+(\.[\w\-]+)*", path):
            raise BadFile(f"{self.path}: {path!r} is not a module name")
        if (text := next((each for each in _TEXT_PREFIXES if path.startswith(each)), None)) is not None:
            component, path = _TEXT_PREFIXES[text], path.removeprefix(text)
        prefix = _ORIGINAL_PREFIX.match(f"{component}.{path}")
        original = path if prefix is None else f"{component}.{path}"[prefix.end() :]
        if parts := parts_of(f"{FUSED}.{original}"):
            modern = [self.dotted(FUSED, part.removeprefix(f"{FUSED}.")) for part in parts]
            return f"{FUSED}.{original}" if is_fused(f"{FUSED}.{original}") else modern[0]
        if prefix is not None:
            component, path = "unet", _from_original(original.replace(".", "_")) or original
        if self.components is None and not _is_known(component, path):
            raise MissingBase(f"{self.path}: which module {component}.{path} is can only be told with the base")
        for candidate in _spellings(component, path, self.components is None):
            if self.components is None or self._module(component, candidate) is not None:
                return f"{component}.{candidate}"
        if self.components is not None and component not in self.components:
            raise BadFile(f"{self.path} changes the {component}, which this base does not have")
        raise BadFile(f"{self.path} changes {component}.{path}, which this base does not have")

    def flattened(self, component: str, name: str) -> str:
        """Return the layer's name for a path with underscores instead of dots.

        Raises:
            BadFile: If the base has no such module or two.
            MissingBase: If the base is unknown and the name is of no known family.
        """
        if self.components is not None and component in self.components:
            for spelling in (name, name.removeprefix("text_model_"), f"text_model_{name}"):
                found = self._flat_table(component).get(spelling, [])
                if len(found) > 1:
                    raise BadFile(f"{self.path}: {name} may mean {' or '.join(found)} of the {component}")
                if found:
                    return f"{component}.{found[0]}"
        path = unflatten(name) or _from_original(name) or _parse(name)
        if path is None:
            if self.components is None:
                raise MissingBase(f"{self.path}: which module {name!r} means can only be told with the base")
            raise BadFile(f"{self.path} changes {name} of the {component}, which this base does not have")
        return self.dotted(component, path)

    def owner(self, paths: Iterable[str], flat: bool = False) -> str:
        """Return the component that modules belong to in a file that does not say it.

        Raises:
            BadFile: If no component of the base has them, or more than one.
        """
        paths = list(paths)
        if self.components is None:
            clip = ("text_model", "encoder", "text_projection")
            if all(path.startswith(clip) for path in paths):
                return "text_encoder"
            transformer = ("transformer_blocks", "single_transformer_blocks")
            return "transformer" if any(path.startswith(transformer) for path in paths) else "unet"
        holders = [name for name in self.components if all(self._has(name, path, flat) for path in paths)]
        if len(holders) != 1:
            found = f"{' and '.join(holders)} of this base all have" if holders else "no part of this base has"
            raise BadFile(f"{self.path}: {found} the modules it changes ({paths[0]} ...)")
        return holders[0]

    def spec(self, layer: str, shape: tuple[int, ...]) -> LayerSpec:
        """Describe the layer whose weight a change has the given shape.

        With the base known, a linear layer may be changed in the shape of a 1x1 convolution and the other way round.

        Raises:
            BadFile: If the base's layer has another shape, or the layer was described before.
        """
        if layer in self._described:
            raise BadFile(f"{self.path} changes {layer} under two names")
        self._described.add(layer)
        if is_fused(layer):
            raise BadFile(
                f"{self.path} changes {layer}, several layers of diffusers' in one; only plain LoRA can be split"
            )
        component, _, path = layer.partition(".")
        if self.components is None:
            return _guess_spec(layer, shape)
        spec = describe_layer(layer, self.components[component].get_submodule(path))
        if spec is None or spec.kind not in (Kind.LINEAR, Kind.CONV):
            raise BadFile(f"{self.path} changes {layer}, which is not a linear or convolution layer in this base")
        if _without_kernel(spec.shape) != _without_kernel(shape):
            raise BadFile(
                f"{self.path} changes a weight of shape {shape} at {layer}, which has {spec.shape} in this base"
            )
        return spec

    def allow_product(self, layer: str, *sizes: int) -> None:
        """Count a tensor that is about to be multiplied out of smaller ones; its layer was compared with the base.

        Raises:
            BadFile: If it is larger than any layer, or all together are larger than the base.
            MissingBase: If there is no base, and they are too large to be believed without.
        """
        count = math.prod(sizes)
        if count > LAYER_LIMIT:
            raise BadFile(f"{self.path}: {layer} would hold {count:,} numbers, more than any layer has")
        self._multiplied += count
        if self.components is None and self._multiplied > _UNSEEN_LIMIT:
            raise MissingBase(
                f"{self.path} would grow to {self._multiplied:,} numbers; whether its layers are so large can only be"
                " told with the base"
            )
        if self.components is not None and self._multiplied > max(_UNSEEN_LIMIT, self._base_size):
            raise BadFile(f"{self.path} would grow to {self._multiplied:,} numbers, more than this base has")

    @cached_property
    def _base_size(self) -> int:
        assert self.components is not None
        return sum(value.numel() for part in self.components.values() for value in part.parameters())

    def kernel(self, layer: str) -> tuple[int, ...]:
        """Return the kernel of a convolution, nothing for other layers.

        Raises:
            MissingBase: If the base is unknown and the layer is a 1x1 convolution in some families, linear in others.
        """
        component, _, path = layer.partition(".")
        if self.components is not None:
            module = self._module(component, path)
            return tuple(module.kernel_size) if isinstance(module, nn.Conv2d) else ()
        last = path.rpartition(".")[2]
        if last in ("proj_in", "proj_out"):
            raise MissingBase(f"{self.path}: whether {layer} is a convolution can only be told with the base")
        return _KERNELS.get(last, ())

    def _module(self, component: str, path: str) -> nn.Module | None:
        assert self.components is not None
        try:
            return self.components[component].get_submodule(path)
        except (KeyError, AttributeError):
            return None

    def _has(self, component: str, path: str, flat: bool) -> bool:
        if flat:
            table = self._flat_table(component)
            return path in table or path.removeprefix("text_model_") in table
        return any(self._module(component, candidate) is not None for candidate in _spellings(component, path, False))

    def _flat_table(self, component: str) -> dict[str, list[str]]:
        assert self.components is not None
        if component not in self._flattened:
            table: dict[str, list[str]] = {}
            for path, _ in self.components[component].named_modules():
                table.setdefault(path.replace(".", "_"), []).append(path)
            self._flattened[component] = table
        return self._flattened[component]


def clip_path(layer: str) -> tuple[str, str]:
    """Split a layer's name into component and path, the path of a CLIP text encoder as all other programs write it.

    They keep the level ``text_model`` that transformers' `CLIPTextModel` has lost in version 5.
    """
    component, _, path = layer.partition(".")
    if component.startswith("text_encoder") and path.startswith(("encoder.layers.", "embeddings.", "final_layer_norm")):
        return component, f"text_model.{path}"
    return component, path


def _spellings(component: str, path: str, guess: bool) -> list[str]:
    """Return how a path may stand in the base; only the likeliest if the base is unknown.

    The first text encoder is a `CLIPTextModel`, without the level ``text_model``; the second of Stable Diffusion XL is
    a `CLIPTextModelWithProjection`, with it.
    """
    if not component.startswith("text_encoder"):
        return [path]
    short = path.removeprefix("text_model.")
    if guess:
        return [short if component == "text_encoder" else path]
    return list(dict.fromkeys([path, short, f"text_model.{short}"]))


def _is_known(component: str, path: str) -> bool:
    """Say whether a dotted path has words of the known families only."""
    return component in _COMPONENTS and all(word in _WORDS or word.isdecimal() for word in path.split("."))


def _parse(name: str) -> str | None:
    """Put the dots back into a flattened name; None if it has words of no known family."""
    pieces = name.split("_")
    words, start = [], 0
    while start < len(pieces):
        for end in range(min(len(pieces), start + _LONGEST), start, -1):
            word = "_".join(pieces[start:end])
            if word in _WORDS or word.isdecimal():
                break
        else:
            return None
        words.append(word)
        start = end
    return ".".join(words)


def _from_original(name: str) -> str | None:
    """Translate a flattened name of the original Stable Diffusion layout; None if it is none."""
    if name in _ORIGINAL:
        return _ORIGINAL[name]
    match = re.fullmatch(r"(input_blocks|output_blocks)_(\d{1,3})_(\d)_(.+)", name)
    if match:
        side, block, part, rest = match[1], int(match[2]), int(match[3]), match[4]
        if side == "input_blocks":
            stage, place, stack = (block - 1) // _STAGE, (block - 1) % _STAGE, "down_blocks"
        else:
            stage, place, stack = block // _STAGE, block % _STAGE, "up_blocks"
        if rest in ("op", "conv"):
            sampler = "downsamplers" if rest == "op" else "upsamplers"
            return f"{stack}.{stage}.{sampler}.0.conv"
        return _inside(f"{stack}.{stage}", "attentions" if part else "resnets", place, rest)
    match = re.fullmatch(r"middle_block_([012])_(.+)", name)
    if match:
        part = int(match[1])
        return _inside("mid_block", "attentions" if part == 1 else "resnets", part // 2, match[2])
    return None


def _inside(block: str, kind: str, place: int, rest: str) -> str | None:
    path = _RESNET_PARTS.get(rest) if kind == "resnets" else _parse(rest)
    return None if path is None else f"{block}.{kind}.{place}.{path}"


def _without_kernel(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape


def _guess_spec(layer: str, shape: tuple[int, ...]) -> LayerSpec:
    """Describe a layer of the known families: only downsamplers have a stride, kernels keep the size."""
    if len(shape) == 2:
        return LayerSpec(layer, Kind.LINEAR, shape)
    stride = (2, 2) if ".downsamplers." in layer else (1, 1)
    return LayerSpec(layer, Kind.CONV, shape, stride, (shape[2] // 2, shape[3] // 2))
