"""What the package asks of a diffusers pipeline and of its parts.

diffusers makes its classes known lazily, so that a type checker sees nothing of them; and a base without weights has no
pipeline of diffusers at all (`portraitist.bases.skeletons`). These protocols name what both have.
"""

from collections.abc import Iterator
from os import PathLike
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Weights(Protocol):
    """Whatever has weights, as a module of torch has them."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return what is trained."""
        ...

    def buffers(self) -> Iterator[Tensor]:
        """Return what is kept beside it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return both by name."""
        ...


class Posterior(Protocol):
    """A normal distribution of latents, ``mean`` and ``std [n, c, h, w]``."""

    mean: Tensor
    std: Tensor


class Encoded(Protocol):
    """What an autoencoder's encoder returns."""

    latent_dist: Posterior


class Sampled(Protocol):
    """A network's output, ``[n, c, h, w]``."""

    sample: Tensor


class Autoencoder(Weights, Protocol):
    """A variational autoencoder: pictures ``[n, 3, h, w]`` in [-1, 1] to latents and back.

    Attributes:
        config: Its settings: ``latent_channels``, ``scaling_factor``, ``block_out_channels``, ...
        use_slicing: Whether it decodes latents one by one.
    """

    config: Any
    use_slicing: bool

    @property
    def device(self) -> torch.device:
        """Return where its weights are."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Return the precision of its weights."""
        ...

    def encode(self, x: Tensor) -> Encoded:
        """Encode pictures."""
        ...

    def decode(self, z: Tensor) -> Sampled:
        """Decode latents."""
        ...

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move it to a device or to a precision, in place."""
        ...

    def enable_slicing(self) -> None:
        """Decode latents one by one, for less memory."""
        ...

    def register_to_config(self, **settings: Any) -> None:
        """Change settings."""
        ...


class Network(Protocol):
    """A denoiser or a text encoder, called as its class of diffusers or transformers is.

    Attributes:
        config: Its settings.
    """

    config: Any

    @property
    def device(self) -> torch.device:
        """Return where its weights are."""
        ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        ...


class Tokens(Protocol):
    """What a tokenizer returns: a list of ids for one text, a tensor ``[n, length]`` where one is asked for."""

    input_ids: Any


class Tokenizer(Protocol):
    """Texts to token ids."""

    model_max_length: int

    def __call__(self, text: Any, **options: Any) -> Tokens:
        """Return the ids of a text or of several."""
        ...


class Schedule(Protocol):
    """A noise schedule.

    Attributes:
        config: Its settings: ``num_train_timesteps``, ``prediction_type``, ...
    """

    config: Any


class ImageProcessor(Protocol):
    """Pixels to pictures."""

    def postprocess(self, image: Tensor, output_type: str) -> Any:
        """Return pictures of pixels ``[n, 3, h, w]`` in [-1, 1]: of PIL if ``output_type`` is ``pil``."""
        ...


class Pipeline(Protocol):
    """What every family's pipeline has; a family names the parts of its own beside it.

    Attributes:
        vae_scale_factor: Pixels across that one latent stands for.
    """

    vae: Autoencoder
    tokenizer: Tokenizer
    scheduler: Schedule
    image_processor: ImageProcessor
    vae_scale_factor: int

    @property
    def components(self) -> dict[str, Any]:
        """Return the parts by name."""
        ...

    def __call__(self, **arguments: Any) -> Any:
        """Generate pictures."""
        ...

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move the parts to a device or to a precision, in place."""
        ...

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Say how its progress bar looks."""
        ...

    def save_pretrained(self, save_directory: str | PathLike[str], **options: Any) -> None:
        """Write it in the diffusers layout."""
        ...
