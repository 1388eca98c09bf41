"""The memory of a run, worked out from the footprint of one step: other batches, sizes, precisions and optimisers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

# bitsandbytes keeps a float32 scale for 64 weights of 4 bits (NF4), one for a row of 8 bits.
_SCALES = {4: 1 / 16, 8: 0.0}
_FLOAT32 = 4


@dataclass(frozen=True)
class Setup:
    """What a person can change to make a run smaller.

    Attributes:
        batch_size: Photos in a pass.
        resolution: Side of the pictures, in pixels.
        checkpointed: Whether activations are computed again in the backward pass.
        offloaded: Whether autoencoder and text encoders wait on the CPU once all is encoded.
        optimizer: Name of the optimiser.
        bits: Of the denoiser's linear weights, if fewer.
    """

    batch_size: int
    resolution: int
    checkpointed: bool = False
    offloaded: bool = False
    optimizer: str = "adamw"
    bits: int | None = None


@dataclass(frozen=True)
class Trained:
    """What is trained, and what a recipe does beside its steps; bytes.

    Attributes:
        parameters: Of the adapter.
        moments: Of an optimiser's state, by its name.
        averaged: Whether an average of the parameters is kept.
        sampled: When pictures are made: ``never``, ``before`` training or ``during`` it.
    """

    parameters: int
    moments: Mapping[str, int]
    averaged: bool
    sampled: Literal["never", "before", "during"]


@dataclass(frozen=True)
class Footprint:
    """What was counted of a step, and of the way there; in bytes unless it says otherwise.

    Attributes:
        batch_size: Photos in the pass that was counted.
        resolution: Side of its pictures, in pixels.
        weights: Of each component.
        staying: Names of the components that cannot be put away while it trains.
        linear: Numbers in the denoiser's linear weights.
        width: Of each of these numbers.
        largest: The largest linear weight.
        kept: What the method keeps beside the weights (spectral shifts: decompositions).
        plain: Activations at the highest point of a step.
        checkpointed: The same with checkpoints.
        resolution_step: Pixels across of a position of the denoiser.
        text: Positions of the text among those of the picture.
        encoding: What a picture takes on its way into the autoencoder.
        decoding: What it takes on its way out.
    """

    batch_size: int
    resolution: int
    weights: Mapping[str, int]
    staying: Sequence[str]
    linear: int
    width: int
    largest: int
    kept: int
    plain: int
    checkpointed: int
    resolution_step: int
    text: int
    encoding: int
    decoding: int

    def memory(self, trained: Trained, setup: Setup) -> "Memory":
        """Return what a run takes in a setup."""
        saved = 0 if setup.bits is None else round(self.linear * (self.width - setup.bits / 8 - _SCALES[setup.bits]))
        everything = sum(self.weights.values()) - saved
        staying = sum(self.weights[name] for name in self.staying) - saved
        own = trained.parameters
        state = (3 if trained.averaged else 2) * own + trained.moments[setup.optimizer]
        beside = {"never": None, "before": own, "during": state + self.kept}[trained.sampled]
        pixels = (setup.resolution / self.resolution) ** 2
        return Memory(
            base=staying if setup.offloaded else everything,
            adapter=state,
            kept=self.kept,
            activations=self._activations(setup, own) + (self.largest if setup.bits is not None else 0),
            encoding=everything + own + round(self.encoding * pixels),
            sampling=0 if beside is None else everything + beside + round(self.decoding * pixels),
        )

    def _activations(self, setup: Setup, parameters: int) -> int:
        """Return the activations; all of them grow with pictures but for parameters in the precision of the base."""
        counted = self.checkpointed if setup.checkpointed else self.plain
        fixed = min(parameters * self.width // _FLOAT32, counted) if self.width < _FLOAT32 else 0
        growth = (
            setup.batch_size / self.batch_size * self._positions(setup.resolution) / self._positions(self.resolution)
        )
        return fixed + round((counted - fixed) * growth)

    def _positions(self, resolution: int) -> int:
        return (resolution // self.resolution_step) ** 2 + self.text


@dataclass(frozen=True)
class Memory:
    """Bytes on the device where the base is trained.

    Attributes:
        base: Weights that stay there while it is trained.
        adapter: Parameters, gradients, optimiser state and the average.
        kept: What methods keep beside the weights (spectral shifts: decompositions).
        activations: Everything else at the highest point of a step.
        encoding: The highest point of all while photos are encoded, before training.
        sampling: The highest point of all while a picture is decoded, before or during training; 0 if none is sampled.
    """

    base: int
    adapter: int
    kept: int
    activations: int
    encoding: int
    sampling: int = 0

    @property
    def step(self) -> int:
        """Return the highest point of a training step."""
        return self.base + self.adapter + self.kept + self.activations

    @property
    def peak(self) -> int:
        """Return the highest point of the run."""
        return max(self.step, self.encoding, self.sampling)
