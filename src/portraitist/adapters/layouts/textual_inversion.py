"""Textual Inversion's configuration and vectors (arXiv 2208.01618)."""

from dataclasses import dataclass

from portraitist.adapters.layouts.layout import Layout, MethodConfig, Shapes
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig


@dataclass(frozen=True)
class TextualInversionConfig(MethodConfig):
    """Configuration of Textual Inversion.

    Attributes:
        token_ids: Tokens that get new vectors.
        initial_ids: Tokens whose vectors they start from, usually the class noun's; the tokens' own when empty.
    """

    token_ids: tuple[int, ...] = ()
    initial_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.token_ids or len(set(self.token_ids)) < len(self.token_ids) or min(self.token_ids) < 0:
            raise BadConfig(f"textual-inversion: token_ids must be one or more different tokens, not {self.token_ids}")

    @property
    def starts(self) -> tuple[int, ...]:
        """Return one starting token for each token; the last initial token serves the rest."""
        initial = self.initial_ids or self.token_ids
        return tuple(initial[min(index, len(initial) - 1)] for index in range(len(self.token_ids)))


def vector_shapes(spec: LayerSpec, config: TextualInversionConfig) -> Shapes:
    """Return ``offset [n, width]``: one vector per token.

    Raises:
        BadConfig: If the embedding has no such tokens.
    """
    if max((*config.token_ids, *config.starts)) >= spec.shape[0]:
        raise BadConfig(f"{spec.name} has {spec.shape[0]} rows, too few for the tokens {config.token_ids}")
    return {"offset": (len(config.token_ids), spec.shape[1])}


TEXTUAL_INVERSION = Layout("textual-inversion", TextualInversionConfig, {Kind.EMBEDDING: vector_shapes})
