"""DiffuseKronA's configuration and factors (arXiv 2402.17412)."""

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase

from portraitist.adapters.layouts.layout import Layout, MethodConfig, Shapes
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig

# (out_factor, in_factor) by name; "paper" is its best setting, "release-script" that of its published scripts.
PRESETS = {
    "paper": (4, 64),
    "paper-2": (2, 64),
    "paper-8": (8, 64),
    "paper-16": (16, 64),
    "release-script": (64, 8),
}
# No adapter is as strong; changes of the weights would be infinite.
_STRENGTH_LIMIT = 1_000_000
INITIALISATIONS = ("random-zero", "zero-random", "normal-normal", "kaiming-zero", "xavier-xavier")


@dataclass(frozen=True)
class KronaConfig(MethodConfig):
    """Configuration of DiffuseKronA.

    Attributes:
        out_factor: a1, rows of A; divides the layer's outputs (channels).
        in_factor: a2, columns of A; divides the layer's inputs (channels).
        factors: Other factors for layers by name pattern, as (pattern, out_factor, in_factor); the first match counts.
        scale: The change is multiplied by this. The paper gives no scale; its code uses none, hence 1.
        init: ``random-zero`` (A ~ N(0, 1/a2), B = 0, the paper's best), ``kaiming-zero``, or the ablation's worse ones:
            ``zero-random``, ``normal-normal``, ``xavier-xavier`` (the last two change the model from the start).
        preset: Factors by name, which take the place of out_factor and in_factor: ``paper`` (4, 64), ``paper-2``
            (2, 64), ``paper-8`` (8, 64), ``paper-16`` (16, 64) or ``release-script`` (64, 8).
    """

    out_factor: int = 4
    in_factor: int = 64
    factors: tuple[tuple[str, int, int], ...] = ()
    scale: float = 1.0
    init: str = "random-zero"
    preset: str | None = None

    def __post_init__(self) -> None:
        if self.init not in INITIALISATIONS:
            raise BadConfig(f"krona: unknown init {self.init!r}; choose one of {', '.join(INITIALISATIONS)}")
        if not abs(self.scale) < _STRENGTH_LIMIT:
            raise BadConfig(f"krona: scale must be a finite number below {_STRENGTH_LIMIT:,}, not {self.scale}")
        if self.preset is not None:
            if self.preset not in PRESETS:
                raise BadConfig(f"krona: unknown preset {self.preset!r}; choose one of {', '.join(PRESETS)}")
            # Files hold the factors themselves.
            for name, value in zip(("out_factor", "in_factor", "preset"), (*PRESETS[self.preset], None), strict=True):
                object.__setattr__(self, name, value)
        for pattern, out_factor, in_factor in (("*", self.out_factor, self.in_factor), *self.factors):
            if min(out_factor, in_factor) < 1:
                raise BadConfig(f"krona: factors must be at least 1, not ({out_factor}, {in_factor}) for {pattern}")
        object.__setattr__(self, "factors", tuple((p, int(a), int(b)) for p, a, b in self.factors))

    def factors_for(self, name: str) -> tuple[int, int]:
        """Return (out_factor, in_factor) for a layer."""
        for pattern, out_factor, in_factor in self.factors:
            if fnmatchcase(name, pattern):
                return out_factor, in_factor
        return self.out_factor, self.in_factor


def factor_shapes(spec: LayerSpec, config: KronaConfig) -> Shapes:
    """Return ``a [a1, a2]`` and ``b [b1, b2]``, that of a convolution with its kernel, ``[b1, b2, kh, kw]``.

    Raises:
        BadConfig: If the factors do not divide the layer, or a convolution has groups.
    """
    if spec.groups != 1:
        raise BadConfig(f"{spec.name}: krona does not adapt a convolution with {spec.groups} groups")
    a1, a2 = config.factors_for(spec.name)
    outputs, inputs = spec.shape[:2]
    if outputs % a1 or inputs % a2:
        near = (_nearest_divisor(outputs, a1), _nearest_divisor(inputs, a2))
        raise BadConfig(
            f"{spec.name} has {outputs} outputs and {inputs} inputs, which krona's factors ({a1}, {a2}) do not divide;"
            f" the nearest that do are {near}"
        )
    return {"a": (a1, a2), "b": (outputs // a1, inputs // a2, *spec.shape[2:])}


def _nearest_divisor(number: int, wanted: int) -> int:
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return min((*small, *(number // d for d in small)), key=lambda d: (abs(d - wanted), d))


KRONA = Layout("krona", KronaConfig, {Kind.LINEAR: factor_shapes, Kind.CONV: factor_shapes})
