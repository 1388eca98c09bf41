"""Network and output in one: from features to the numbers of adapters, with a neutral adapter to lead away from."""

from collections.abc import Sequence

from torch import Tensor

from portraitist.adapters import LayerSpec
from portraitist.adapters.provenance import Provenance
from portraitist.hypernetworks.networks.contract import PhotoToAdapter, Predicted, Wish
from portraitist.hypernetworks.networks.hypernetwork import Build, Hypernetwork
from portraitist.hypernetworks.networks.memory import Features, Shapes
from portraitist.hypernetworks.networks.outputs import Output
from portraitist.hypernetworks.settings import DecoderSettings


class Predictor(PhotoToAdapter):
    """Everything that is trained.

    Args:
        settings: Of the decoder.
        shapes: What the features of a photo are.
        output: What is predicted.
    """

    def __init__(self, settings: DecoderSettings, shapes: Shapes, output: Output) -> None:
        super().__init__()
        self.output = output
        self.network = Hypernetwork(
            Build(
                dict(shapes),
                output.sizes,
                settings.width,
                settings.blocks,
                settings.heads,
                settings.iterations,
                settings.head_deviation,
            )
        )

    @property
    def specs(self) -> Sequence[LayerSpec]:
        """Return all layers that its adapters change."""
        return self.output.specs

    @property
    def numbers(self) -> int:
        """Return how many numbers are predicted."""
        return self.output.count

    def predict(self, features: Features, wish: Wish) -> Tensor:
        """Return numbers ``[n, P]``, led away from nobody's as far as is wished; nothing is drawn."""
        return self.guided(features, wish.guidance)

    def adapter(self, numbers: Tensor, provenance: Provenance, rank: int | None = None) -> Predicted:
        """Return one prediction as an adapter; see `Output.adapter`."""
        return self.output.adapter(numbers, provenance, rank)

    def forward(self, features: Features, unknown: Tensor | None = None) -> Tensor:
        """Return the numbers of an adapter for each person, ``[n, P]``; see `Hypernetwork.forward`."""
        return self.network(features, unknown)

    def guided(self, features: Features, guidance: float) -> Tensor:
        """Return numbers led away from nobody's: ``nobody + guidance (predicted - nobody)``; 1 is the prediction."""
        predicted = self.network(features)
        if guidance == 1.0:
            return predicted
        unknown = predicted.new_ones(len(predicted), dtype=bool)
        nobody = self.network(features, unknown)
        return nobody + guidance * (predicted - nobody)
