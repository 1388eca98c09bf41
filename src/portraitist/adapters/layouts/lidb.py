"""LiDB's configuration and trained factors (HyperDreamBooth, arXiv 2307.06949)."""

from dataclasses import dataclass

from portraitist.adapters.layouts.layout import Layout, MethodConfig, Shapes
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig

# Numbers of an auxiliary basis; those of the widest layers known have an eighth of it.
_LARGEST_BASIS = 2**24


@dataclass(frozen=True)
class LidbConfig(MethodConfig):
    """Configuration of LiDB.

    Attributes:
        a: Dimension of the subspace of outputs.
        b: Dimension of the subspace of inputs.
        rank: Rank of the change.
        basis_seed: Seed of the auxiliary bases; every adapter that shall be compared, added or predicted shares it.
    """

    a: int = 100
    b: int = 50
    rank: int = 1
    basis_seed: int = 0

    def __post_init__(self) -> None:
        if min(self.a, self.b, self.rank) < 1:
            raise BadConfig(f"lidb: a, b and rank must be at least 1, not {self.a}, {self.b}, {self.rank}")


def factor_shapes(spec: LayerSpec, config: LidbConfig) -> Shapes:
    """Return the trained factors' shapes, ``a [a, r]`` and ``b [r, b]``.

    Raises:
        BadConfig: If the subspaces are larger than the layer, or their bases would be too large to draw.
    """
    if config.a > spec.out_features or config.b > spec.in_features:
        raise BadConfig(
            f"{spec.name} has {spec.out_features} outputs and {spec.in_features} inputs, fewer than lidb's"
            f" subspaces ({config.a}, {config.b}); choose smaller a and b"
        )
    largest = max(config.a * spec.out_features, config.b * spec.in_features)
    if largest > _LARGEST_BASIS:
        raise BadConfig(f"{spec.name} would need a frozen basis of {largest:,} numbers; choose smaller a and b")
    return {"a": (config.a, config.rank), "b": (config.rank, config.b)}


def basis_numbers(spec: LayerSpec, config: LidbConfig) -> int:
    """Return how many numbers the two auxiliary bases have."""
    return config.a * spec.out_features + config.b * spec.in_features


LIDB = Layout("lidb", LidbConfig, {Kind.LINEAR: factor_shapes}, drawn=basis_numbers)
