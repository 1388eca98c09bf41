"""Parameter spaces: methods, attaching them to frozen modules, the native file. Nothing of diffusion or other files."""

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.algebra import Conversion, add, interpolate, keep_largest, scale, to_lora
from portraitist.adapters.attach import Attachment, attached
from portraitist.adapters.banks import load_bank, read_index, save_bank, stack, unstack
from portraitist.adapters.files import file_size, load_adapter, read_header, save_adapter
from portraitist.adapters.finding import find_layers
from portraitist.adapters.layer import Kind, LayerSpec
from portraitist.adapters.methods import get_method, list_methods
from portraitist.adapters.provenance import BaseFacts, Provenance, SubjectFacts, require_one_base
from portraitist.adapters.space import Space

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
