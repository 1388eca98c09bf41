"""LoRA for FLUX.1 as XLabs' x-flux writes it: attention only, by the attention processors of the original layout.

``double_blocks.0.processor.qkv_lora1.down.weight`` for pictures, ``..._lora2`` for text, ``single_blocks.0.processor.
qkv_lora`` and ``proj_lora`` in single blocks; perhaps with ``diffusion_model.`` before. The strength is 1.
"""

import re
from pathlib import Path

from torch import nn

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.outline import read_outline
from portraitist.bases.flux_layout import FEED_FORWARD_RATIO
from portraitist.exchange.assembling import Factors, build_lora, read_factors
from portraitist.exchange.formats.format import Format
from portraitist.exchange.naming import Components, Naming
from portraitist.exchange.tensor_files import Tensors

_KEY = re.compile(
    r"((?:diffusion_model\.)?(double|single)_blocks\.(\d+)\.processor\.(qkv_lora[12]?|proj_lora[12]?)\.)down\.weight"
)
_DOUBLE = {
    "qkv_lora1": "img_attn.qkv",
    "proj_lora1": "img_attn.proj",
    "qkv_lora2": "txt_attn.qkv",
    "proj_lora2": "txt_attn.proj",
}
_SINGLE = {"qkv_lora": "linear1", "proj_lora": "linear2"}


def _sniff(path: Path) -> bool:
    return path.is_file() and any(_KEY.fullmatch(key) for key in read_outline(path).shapes)


def _load(path: Path, components: Components | None) -> Adapter:
    file, naming = Tensors.read(path), Naming(path, components)
    factors: dict[str, Factors] = {}
    for match in [match for key in file.unused if (match := _KEY.fullmatch(key))]:
        stem, stack, number, name = match.groups()
        module = (_DOUBLE if stack == "double" else _SINGLE).get(name)
        if module is None:
            continue
        down, up = file.take_pair(f"{stem}down.weight", f"{stem}up.weight")
        if module == "linear1" and down.ndim == 2 and up.ndim == 2:
            up = nn.functional.pad(up, (0, 0, 0, FEED_FORWARD_RATIO * down.shape[1]))  # of the feed-forward layer
        layer = naming.dotted("transformer", f"{stack}_blocks.{number}.{module}")
        factors |= read_factors(naming, layer, up, down, 1.0, None)
    file.require_all_used("a LoRA of XLabs")
    return build_lora(path, factors, file.own_facts())


XLABS = Format(
    name="xlabs",
    description="LoRA of XLabs' x-flux for FLUX.1 (read only)",
    sniff=_sniff,
    load=_load,
)
