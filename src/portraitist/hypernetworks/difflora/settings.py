"""Settings of DiffLoRA and of its rivals: how weights are squeezed, and how latents are made of photos."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from portraitist.hypernetworks.settings import CommonRecipe
from portraitist.training.networks.settings import NetworkSettings, SettingsSection

Mixing = Literal["gate", "mean", "face", "image"]
Process = Literal["diffusion", "flow", "regression"]


class WeightSettings(SettingsSection):
    """The LoRAs that are learnt from; what is None is as the set has it, and known once it is trained.

    Attributes:
        rank: Their rank.
        shared_a: Whether all share one factor A, so that only B is learnt.
    """

    rank: int | None = Field(None, gt=0)
    shared_a: bool | None = None


class FeatureSettings(SettingsSection):
    """Mixed image features.

    Attributes:
        mixing: ``gate``, weights of face and image that depend on both; ``mean`` of both; ``face`` or ``image`` alone.
        unknown: Share of samples whose photos are taken away, 0.1 in the paper's summary, so that guidance can be used.
    """

    mixing: Mixing = "gate"
    unknown: float = Field(0.1, ge=0, lt=1)


class ConvolutionSettings(SettingsSection):
    """The paper's kind of autoencoder: one-dimensional convolutions along the flattened weights.

    Attributes:
        strides: Of the stages; their product over `latent_channels` is how far the weights are squeezed.
        channels: Of the stages.
        latent_channels: Of the latent.
        gamma: How much more the largest weights of a layer count than its smallest ones; 0 counts all alike.
        power: How that rises with a weight's size, the p of the weight-preserved loss.
        latent_noise: Deviation of noise on latents in training, as a share of theirs.
    """

    kind: Literal["convolutions"]
    strides: tuple[int, ...] = (5, 5, 4, 3)
    channels: tuple[int, ...]
    latent_channels: int = Field(1, gt=0)
    gamma: float = Field(10.0, ge=0)
    power: float = Field(1.0, gt=0)
    latent_noise: float = Field(0.0, ge=0)


class TokenSettings(SettingsSection):
    """An autoencoder with a token for each layer and rank.

    Attributes:
        ratio: How far the weights are squeezed.
        latents: Latent tokens.
        width: Of its tokens.
        blocks: Layers of either transformer.
        heads: Attention heads.
        angle: Weight of the angle between changes.
        spectrum: Weight of their leading singular values.
        numbers: Weight of the standardised numbers' mean squared error.
        gamma: In that, how much more the largest weights of a layer count, as in `ConvolutionSettings`,
        power: and how that rises with a weight's size.
        leading: Singular values that lead.
        latent_noise: Deviation of noise on latents in training, as a share of theirs.
    """

    kind: Literal["tokens"]
    ratio: float = Field(300.0, gt=1)
    latents: int = Field(16, gt=0)
    width: int = Field(gt=0)
    blocks: int = Field(gt=0)
    heads: int = Field(gt=0)
    angle: float = Field(1.0, ge=0)
    spectrum: float = Field(1.0, ge=0)
    numbers: float = Field(0.1, ge=0)
    gamma: float = Field(0.0, ge=0)
    power: float = Field(1.0, gt=0)
    leading: int = Field(2, gt=0)
    latent_noise: float = Field(0.0, ge=0)


class PrincipalSettings(SettingsSection):
    """No autoencoder: coefficients of the principal components of the training LoRAs.

    Attributes:
        ratio: How far the weights are squeezed; never to more numbers than training LoRAs have directions.
    """

    kind: Literal["principal"]
    ratio: float = Field(300.0, gt=1)


CodecSettings = Annotated[ConvolutionSettings | TokenSettings | PrincipalSettings, Field(discriminator="kind")]


class GeneratorSettings(SettingsSection):
    """The network that makes latents, and how.

    Attributes:
        process: ``diffusion`` (denoising to the clean latent), ``flow`` (flow matching), or ``regression`` (no noise:
            one latent for a photo).
        depth: Blocks, 16 in the paper.
        width: Of a token, 1454 in the paper.
        heads: Attention heads; of 1454 only 1 and 2 are sensible divisors.
        tokens: Into how many tokens a latent is cut.
        dropout: Of attention's and feed-forward's outputs.
        timesteps: Of the noise schedule.
        schedule: Of diffusers' DDIM: ``linear``, ``scaled_linear`` or ``squaredcos_cap_v2``.
        sampling_steps: Usual steps of sampling.
    """

    process: Process = "diffusion"
    depth: int = Field(gt=0)
    width: int = Field(gt=0)
    heads: int = Field(gt=0)
    tokens: int = Field(gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    timesteps: int = Field(1000, gt=0)
    schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear"
    sampling_steps: int = Field(50, gt=0)


class DiffloraRecipe(CommonRecipe):
    """All settings. The first of the encoders it sees with is the one for faces, the second the one for pictures."""

    paper: ClassVar[str] = "DiffLoRA, arXiv 2408.06740"

    weights: WeightSettings = WeightSettings()
    features: FeatureSettings
    autoencoder: CodecSettings
    autoencoder_training: NetworkSettings | None = None
    generator: GeneratorSettings
    generator_training: NetworkSettings

    @model_validator(mode="after")
    def _check_training(self) -> "DiffloraRecipe":
        if self.autoencoder_training is None and self.autoencoder.kind != "principal":
            raise ValueError(f"the autoencoder {self.autoencoder.kind} needs the section autoencoder_training")
        return self

    def output_words(self, layers: int) -> str:
        """Say in a few words what is predicted on so many linear layers."""
        shared = ", with one factor A for all" if self.weights.shared_a else ""
        return f"LoRAs of rank {self.weights.rank} on {layers} layers{shared}, by {self.generator.process}"

    def details(self, sides: Sequence[tuple[int, int]], latent: int | None) -> dict[str, str]:
        """Say how far LoRAs are squeezed, what is seen of photos, and how LoRAs are drawn."""
        rank, shared = self.weights.rank or 0, self.weights.shared_a
        numbers = rank * sum(outputs if shared else inputs + outputs for inputs, outputs in sides)
        face, image = self.sight.encoders
        mixed = {"gate": "weighed by a gate", "mean": "both alike"}.get(
            self.features.mixing, f"{self.features.mixing} alone"
        )
        steps = self.generator.sampling_steps
        draws = self.generator.process != "regression"
        return {
            "squeezed": f"by {self.autoencoder.kind}, {numbers:,} numbers to {latent or 0:,}",
            "features": f"{face} for faces, {image} for pictures, {mixed}",
            "draws": f"in {steps} steps; another --seed, another LoRA" if draws else "nothing: one LoRA for a photo",
        }

    def structure(self) -> dict[str, Any]:
        """Return the settings in which a network that is trained on must not differ."""
        parts = {"sight", "features", "autoencoder", "generator"}
        return self.model_dump(mode="json", include=parts, exclude={"features": {"unknown"}})
