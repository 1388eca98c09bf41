"""The methods, one file each. Adding one means adding its file and its line here."""

from portraitist.adapters.methods.full import FULL
from portraitist.adapters.methods.lora import LORA
from portraitist.adapters.registry import register

for _method in (LORA, FULL):
    register(_method)
