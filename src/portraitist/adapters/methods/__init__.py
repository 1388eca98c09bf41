"""The methods, one file each. Adding one means adding its file and its line here."""

from portraitist.adapters.methods.full import FULL
from portraitist.adapters.methods.krona import KRONA
from portraitist.adapters.methods.lidb import LIDB
from portraitist.adapters.methods.lora import LORA
from portraitist.adapters.methods.svdiff import SVDIFF
from portraitist.adapters.methods.textual_inversion import TEXTUAL_INVERSION
from portraitist.adapters.registry import register

for _method in (LORA, KRONA, LIDB, SVDIFF, TEXTUAL_INVERSION, FULL):
    register(_method)
