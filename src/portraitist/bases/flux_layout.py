"""The original layout of FLUX.1's transformer (Black Forest Labs): its modules, and those of diffusers they became.

Two differences are more than names. Query, key and value are one matrix there (``qkv``), in single blocks with the
first projection of the feed-forward layer too (``linear1``): its rows are those of diffusers' matrices one below the
other. And the last modulation has shift and scale, the two halves of its rows, the other way round.
"""

import re
from collections.abc import Mapping, Sequence

# FLUX.1's feed-forward layers are so many times as wide as its blocks.
FEED_FORWARD_RATIO = 4
_QKV = ("to_q", "to_k", "to_v")
_DOUBLE: Mapping[str, tuple[str, ...]] = {
    "img_mod.lin": ("norm1.linear",),
    "txt_mod.lin": ("norm1_context.linear",),
    "img_attn.qkv": tuple(f"attn.{name}" for name in _QKV),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "img_attn.norm.query_norm": ("attn.norm_q",),
    "img_attn.norm.key_norm": ("attn.norm_k",),
    "txt_attn.norm.query_norm": ("attn.norm_added_q",),
    "txt_attn.norm.key_norm": ("attn.norm_added_k",),
    "img_attn.proj": ("attn.to_out.0",),
    "txt_attn.proj": ("attn.to_add_out",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
}
_SINGLE: Mapping[str, tuple[str, ...]] = {
    "modulation.lin": ("norm.linear",),
    "linear1": (*(f"attn.{name}" for name in _QKV), "proj_mlp"),
    "linear2": ("proj_out",),
    "norm.query_norm": ("attn.norm_q",),
    "norm.key_norm": ("attn.norm_k",),
}
_AROUND: Mapping[str, str] = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
_BLOCKS = {"double_blocks": ("transformer_blocks", _DOUBLE), "single_blocks": ("single_transformer_blocks", _SINGLE)}
# The module whose two halves of rows are exchanged.
_EXCHANGED = "final_layer.adaLN_modulation.1"
# The same from the other side: by diffusers' stacks of blocks, the original stack and its modules by diffusers'.
_ORIGINALS = {
    modern: (original, {part: module for module, parts in table.items() for part in parts})
    for original, (modern, table) in _BLOCKS.items()
}


def modern_modules(original: str) -> tuple[str, ...]:
    """Return the modules of diffusers that a module of the original layout became; none if there is no such module.

    Args:
        original: Its dotted name, such as ``double_blocks.0.img_attn.qkv``.
    """
    if original in _AROUND:
        return (_AROUND[original],)
    stack, _, rest = original.partition(".")
    number, _, module = rest.partition(".")
    if stack not in _BLOCKS or not number.isdecimal():
        return ()
    modern, table = _BLOCKS[stack]
    return tuple(f"{modern}.{number}.{part}" for part in table.get(module, ()))


def original_module(modern: str) -> str | None:
    """Return the module of the original layout in which one of diffusers lies; None if there is none."""
    around = next((name for name, there in _AROUND.items() if there == modern), None)
    if around is not None:
        return around
    stack, _, rest = modern.partition(".")
    number, _, module = rest.partition(".")
    original, table = _ORIGINALS.get(stack, ("", {}))
    return f"{original}.{number}.{table[module]}" if module in table and number.isdecimal() else None


def unflatten(name: str) -> str | None:
    """Return the module that a name with underscores for dots means; None if it is none of the original layout."""
    match = re.fullmatch(r"(double_blocks|single_blocks)_(\d+)_(\w+)", name)
    if match is None:
        return next((module for module in _AROUND if module.replace(".", "_") == name), None)
    table = _BLOCKS[match[1]][1]
    found = next((module for module in table if module.replace(".", "_") == match[3]), None)
    return None if found is None else f"{match[1]}.{match[2]}.{found}"


def is_exchanged(original: str) -> bool:
    """Say whether diffusers has the two halves of a module's rows the other way round."""
    return original == _EXCHANGED


def part_rows(parts: Sequence[str], rows: int, inputs: int) -> list[int]:
    """Return how many of a module's rows each of diffusers' modules has.

    Args:
        parts: What it became, see `modern_modules`.
        rows: All of them.
        inputs: Columns; query, key and value are square where more than they lies in one matrix.

    Returns:
        A count for each, the rest for the last; not positive where the numbers do not fit.
    """
    each = rows // len(parts) if parts[-1].startswith("transformer_blocks.") else inputs
    return [*[each] * (len(parts) - 1), rows - each * (len(parts) - 1)]
