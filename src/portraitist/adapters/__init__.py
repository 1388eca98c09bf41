"""Parameter spaces: methods, attaching them to frozen modules, and their files. Knows torch, nothing of diffusion."""

from portraitist.adapters.adapter import Adapter, count_parameters, find_layers
from portraitist.adapters.algebra import Conversion, add, interpolate, keep_largest, scale, to_lora
from portraitist.adapters.attach import Attachment, attached
from portraitist.adapters.banks import stack, unstack
from portraitist.adapters.files import file_size, load_adapter, read_header, save_adapter
from portraitist.adapters.layer import Kind, LayerSpec
from portraitist.adapters.registry import get_method, list_methods

__all__ = [
    "Adapter",
    "Attachment",
    "Conversion",
    "Kind",
    "LayerSpec",
    "add",
    "attached",
    "count_parameters",
    "file_size",
    "find_layers",
    "get_method",
    "interpolate",
    "keep_largest",
    "list_methods",
    "load_adapter",
    "read_header",
    "save_adapter",
    "scale",
    "stack",
    "to_lora",
    "unstack",
]
