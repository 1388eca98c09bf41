"""What an autoencoder of weights minimises: errors of the weights, or of the change that they make."""

import torch
from torch import Tensor
from torch.nn import functional as F

from portraitist.hypernetworks.difflora.settings import CodecSettings, ConvolutionSettings, PrincipalSettings
from portraitist.hypernetworks.weights.canonical import singular
from portraitist.hypernetworks.weights.changes import inner
from portraitist.hypernetworks.weights.layout import WeightLayout
from portraitist.hypernetworks.weights.statistics import Standard

_TINY = 1e-12


def reconstruction_losses(
    settings: CodecSettings, layout: WeightLayout, standard: Standard, found: Tensor, wanted: Tensor
) -> dict[str, Tensor]:
    """Return the losses of restored LoRAs by name, ``loss`` their weighted sum.

    Args:
        settings: Of the autoencoder.
        layout: Of the vectors.
        standard: What standardised them.
        found: Standardised, as they were restored, ``[n, P]``.
        wanted: Standardised, as they are, ``[n, P]``.
    """
    if isinstance(settings, PrincipalSettings):
        return {"loss": F.mse_loss(found, wanted)}
    weights = preserving_weights(layout, standard.restore(wanted), settings.gamma, settings.power)
    numbers = (weights * (found - wanted).square()).mean()
    if isinstance(settings, ConvolutionSettings):
        return {"loss": numbers, "plain": F.mse_loss(found, wanted).detach()}
    angle, spectrum = change_losses(layout, standard.restore(found), standard.restore(wanted), settings.leading)
    total = settings.angle * angle + settings.spectrum * spectrum + settings.numbers * numbers
    return {"loss": total, "angle": angle, "spectrum": spectrum, "numbers": numbers}


def preserving_weights(layout: WeightLayout, vectors: Tensor, gamma: float, power: float) -> Tensor:
    """Return how much each number counts, ``1 + gamma (|w_i| / max_j |w_j|)^p``, ``[n, P]``.

    The weight-preserved loss of DiffLoRA (arXiv 2408.06740) lets larger weights count more; its equation is not known
    to us, and this is our reading of it. The largest is that of a layer, both factors together.
    """
    sizes = vectors.abs()
    largest: dict[str, Tensor] = {}
    for piece in layout.pieces:
        here = sizes[:, piece.numbers].amax(1, keepdim=True)
        known = largest.get(piece.layer)
        largest[piece.layer] = here if known is None else torch.maximum(known, here)
    shares = [sizes[:, piece.numbers] / largest[piece.layer].clamp(min=_TINY) for piece in layout.pieces]
    return 1 + gamma * torch.cat(shares, 1).pow(power)


def change_losses(layout: WeightLayout, found: Tensor, wanted: Tensor, leading: int) -> tuple[Tensor, Tensor]:
    """Return how far changes ``B A`` are apart: in angle, and along the leading directions of those wanted.

    Neither depends on how a change is factored (after LoRAGen). The second is the squared difference of
    ``u_k^T (B A) v_k`` and the singular value of the wanted change, as a share of its largest one.

    Args:
        layout: Of the vectors.
        found: LoRAs ``[n, P]``; gradients pass.
        wanted: LoRAs ``[n, P]``.
        leading: Singular values that count.
    """
    one, other = layout.factors(found), layout.factors(wanted)
    angles, spectra = [], []
    for name in layout.layers:
        a, b = one[name], other[name]
        sizes = (inner(a, a) * inner(b, b)).clamp(min=_TINY).sqrt()
        angles.append(1 - inner(a, b) / sizes)
        spectra.append(_leading_errors(a.up, a.down, *_leading(b.up, b.down, leading)))
    return torch.stack(angles).mean(), torch.stack(spectra).mean()


@torch.no_grad()
def _leading(up: Tensor, down: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the leading part of a change's decomposition, in the precision of its factors."""
    left, sigma, right = singular(up, down.expand(len(up), -1, -1))
    return left[..., :count].to(up), sigma[..., :count].to(up), right[..., :count].to(up)


def _leading_errors(up: Tensor, down: Tensor, left: Tensor, sigma: Tensor, right: Tensor) -> Tensor:
    along = ((left.transpose(1, 2) @ up) * (down @ right).transpose(1, 2)).sum(2)
    return ((along - sigma) / sigma[:, :1].clamp(min=_TINY)).square().mean(1)
