"""Parameter spaces: methods, attaching them to frozen modules, the native file. Nothing of diffusion or other files."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portraitist.adapters.adapter import Adapter
    from portraitist.adapters.algebra import Conversion, add, interpolate, keep_largest, scale, to_lora
    from portraitist.adapters.attach import Attachment, attached
    from portraitist.adapters.banks import load_bank, read_index, save_bank, stack, unstack
    from portraitist.adapters.description import read_header
    from portraitist.adapters.files import file_size, load_adapter, save_adapter
    from portraitist.adapters.finding import find_layers
    from portraitist.adapters.methods import get_method, list_methods
    from portraitist.adapters.provenance import BaseFacts, Provenance, SubjectFacts, require_one_base
    from portraitist.adapters.space import Space
    from portraitist.adapters.spec import Kind, LayerSpec

# Where each name lives. It is imported when it is first used, so that files are described without waiting for torch.
_HOMES = {
    "Adapter": "portraitist.adapters.adapter",
    "Attachment": "portraitist.adapters.attach",
    "BaseFacts": "portraitist.adapters.provenance",
    "Conversion": "portraitist.adapters.algebra",
    "Kind": "portraitist.adapters.spec",
    "LayerSpec": "portraitist.adapters.spec",
    "Provenance": "portraitist.adapters.provenance",
    "Space": "portraitist.adapters.space",
    "SubjectFacts": "portraitist.adapters.provenance",
    "add": "portraitist.adapters.algebra",
    "attached": "portraitist.adapters.attach",
    "file_size": "portraitist.adapters.files",
    "find_layers": "portraitist.adapters.finding",
    "get_method": "portraitist.adapters.methods",
    "interpolate": "portraitist.adapters.algebra",
    "keep_largest": "portraitist.adapters.algebra",
    "list_methods": "portraitist.adapters.methods",
    "load_adapter": "portraitist.adapters.files",
    "load_bank": "portraitist.adapters.banks",
    "read_header": "portraitist.adapters.description",
    "read_index": "portraitist.adapters.banks",
    "require_one_base": "portraitist.adapters.provenance",
    "save_adapter": "portraitist.adapters.files",
    "save_bank": "portraitist.adapters.banks",
    "scale": "portraitist.adapters.algebra",
    "stack": "portraitist.adapters.banks",
    "to_lora": "portraitist.adapters.algebra",
    "unstack": "portraitist.adapters.banks",
}

__all__ = [
    "Adapter",
    "Attachment",
    "BaseFacts",
    "Conversion",
    "Kind",
    "LayerSpec",
    "Provenance",
    "Space",
    "SubjectFacts",
    "add",
    "attached",
    "file_size",
    "find_layers",
    "get_method",
    "interpolate",
    "keep_largest",
    "list_methods",
    "load_adapter",
    "load_bank",
    "read_header",
    "read_index",
    "require_one_base",
    "save_adapter",
    "save_bank",
    "scale",
    "stack",
    "to_lora",
    "unstack",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
