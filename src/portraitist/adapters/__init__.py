"""Parameter spaces: methods, attaching them to frozen modules, and their files. Knows torch, nothing of diffusion."""

from portraitist.adapters.adapter import Adapter, count_parameters, find_layers
from portraitist.adapters.attach import Attachment, attached
from portraitist.adapters.files import load_adapter, read_header, save_adapter
from portraitist.adapters.registry import get_method, list_methods

__all__ = [
    "Adapter",
    "Attachment",
    "attached",
    "count_parameters",
    "find_layers",
    "get_method",
    "list_methods",
    "load_adapter",
    "read_header",
    "save_adapter",
]
