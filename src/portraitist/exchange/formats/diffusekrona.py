"""Kronecker adapters of the published DiffuseKronA code (IBM/DiffuseKronA), read as exact LoRA.

It writes LoRA's old names with other shapes: ``down [a2, a1]`` holds A transposed and ``up [b1, b2]`` is B. Its forward
pass leaves the outputs as ``[b1, a1]`` instead of ``[a1, b1]``, so the weight's change is ``A (x) B`` with the rows in
another order: ``dW[i_b a1 + i_a, j_a b2 + j_b] = A[i_a, j_a] B[i_b, j_b]``. No Kronecker product of this package's is
equal to that; the LoRA from the two factors' singular values, with the same rows exchanged, is.
"""

from pathlib import Path

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.methods.krona import kronecker_low_rank
from portraitist.errors import BadFile
from portraitist.exchange.assembling import Factors, build_lora
from portraitist.exchange.formats.diffusers import find_pairs, has_pairs, ranks_differ, weights_file
from portraitist.exchange.formats.format import Format
from portraitist.exchange.naming import Components, Naming
from portraitist.exchange.tensor_files import Tensors


def _sniff(path: Path) -> bool:
    return has_pairs(path) and ranks_differ(path)


def _load(path: Path, components: Components | None) -> Adapter:
    file, naming = Tensors.read(weights_file(path)), Naming(path, components)
    factors: dict[str, Factors] = {}
    for pair in find_pairs(list(file.unused)):
        down, up = file.take_pair(pair.down, pair.up)
        if down.ndim != 2 or up.ndim != 2 or 0 in (*down.shape, *up.shape):
            raise BadFile(f"{file.path}: {pair.down} has shape {tuple(down.shape)} where a matrix is needed")
        (a2, a1), (b1, b2) = down.shape, up.shape
        rank = min(a1, a2) * min(b1, b2)
        layer = naming.dotted(pair.component, pair.module)
        spec = naming.spec(layer, (a1 * b1, a2 * b2))
        naming.allow_product(layer, rank, a1 * b1 + a2 * b2)
        low = kronecker_low_rank(down.T, up, None)
        rows = low.up.unflatten(0, (a1, b1)).transpose(0, 1).flatten(0, 1)
        factors[layer] = Factors(spec, rows, low.down, 1.0)
    file.require_all_used("DiffuseKronA")
    return build_lora(path, factors, file.own_facts())


DIFFUSEKRONA = Format(
    name="diffusekrona",
    description="Kronecker factors of the published DiffuseKronA code (read as LoRA)",
    sniff=_sniff,
    load=_load,
    files=lambda path: [weights_file(path)],
)
