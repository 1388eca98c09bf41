"""Optimisers by name: AdamW of torch, and those of libraries that come as extras."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from portraitist.errors import BadConfig, MissingExtra
from portraitist.training.recipes.groups import OptimizerName

ParameterDicts = Sequence[dict[str, Any]]

# Below so many numbers bitsandbytes keeps a tensor's moments in 32 bits: their 8-bit blocks would not pay.
SMALLEST_8BIT = 4096
_USUAL_PRODIGY_RATES = (0.1, 10.0)


@dataclass(frozen=True)
class OptimizerChoice:
    """Which optimiser, and what it is told beside the learning rates."""

    name: OptimizerName | Literal["muon"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8


def build_optimizer(groups: ParameterDicts, choice: OptimizerChoice) -> torch.optim.Optimizer:
    """Return an optimiser over parameter groups.

    Args:
        groups: ``params``, ``lr`` and ``weight_decay`` of each; for ``muon`` also whether they are ``hidden``.
        choice: Which one, and its settings.

    Raises:
        MissingExtra: If its library is not installed.
        BadConfig: If the learning rates make no sense for it.
    """
    if choice.name == "muon":
        return _muon(groups, choice)
    plain = [{key: value for key, value in group.items() if key != "hidden"} for group in groups]
    return _BUILDERS[choice.name](plain, choice)


def _adamw(groups: ParameterDicts, choice: OptimizerChoice) -> torch.optim.Optimizer:
    return torch.optim.AdamW(list(groups), betas=choice.betas, eps=choice.epsilon, fused=True)


def _adamw8bit(groups: ParameterDicts, choice: OptimizerChoice) -> torch.optim.Optimizer:
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise MissingExtra("bitsandbytes", "bitsandbytes") from error
    return AdamW8bit(list(groups), betas=choice.betas, eps=choice.epsilon, min_8bit_size=SMALLEST_8BIT)


def _prodigy(groups: ParameterDicts, choice: OptimizerChoice) -> torch.optim.Optimizer:
    """Build Prodigy as its authors advise for diffusion models: bias correction and a safeguarded warm-up."""
    try:
        from prodigyopt import Prodigy
    except ImportError as error:
        raise MissingExtra("prodigy", "prodigyopt") from error
    _check_rates(groups, choice)
    return Prodigy(
        list(groups), betas=choice.betas, eps=choice.epsilon, use_bias_correction=True, safeguard_warmup=True
    )


def _prodigy_plus(groups: ParameterDicts, choice: OptimizerChoice) -> torch.optim.Optimizer:
    try:
        from prodigyplus.prodigy_plus_schedulefree import ProdigyPlusScheduleFree
    except ImportError as error:
        raise MissingExtra("prodigy", "prodigy-plus-schedule-free") from error
    _check_rates(groups, choice)
    return ProdigyPlusScheduleFree(list(groups), betas=choice.betas, eps=choice.epsilon, use_stableadamw=True)


def _muon(groups: ParameterDicts, choice: OptimizerChoice) -> torch.optim.Optimizer:
    """Build Muon for hidden matrices and convolutions, read as [out, in k k], beside AdamW for everything else.

    Orthogonalised updates are scaled to the size of AdamW's (0.2 of the rate, arXiv 2502.16982), so that one learning
    rate serves both and shapes need no rates of their own.
    """
    try:
        from pytorch_optimizer import Muon
    except ImportError as error:
        raise MissingExtra("toyland", "pytorch-optimizer") from error
    return Muon(
        [
            {**{key: value for key, value in group.items() if key != "hidden"}, "use_muon": group["hidden"]}
            for group in groups
        ],
        use_adjusted_lr=True,
        adamw_betas=choice.betas,
        adamw_eps=choice.epsilon,
    )


def _check_rates(groups: ParameterDicts, choice: OptimizerChoice) -> None:
    """Refuse a learning rate meant for AdamW: here it only multiplies the rate that is found."""
    low, high = _USUAL_PRODIGY_RATES
    for group in groups:
        if not low <= group["lr"] <= high:
            raise BadConfig(
                f"{choice.name} finds its learning rate itself and multiplies it by learning_rate, so"
                f" {group['lr']:g} would bring it to a halt; set learning_rate (and text_learning_rate,"
                " norm_learning_rate) to 1"
            )
    if choice.name == "prodigy" and len({group["lr"] for group in groups}) > 1:
        raise BadConfig(
            "prodigy needs one learning rate for all parameters; use prodigy-plus, or leave out text_learning_rate and"
            " norm_learning_rate"
        )


_BUILDERS: dict[str, Callable[[ParameterDicts, OptimizerChoice], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adamw8bit": _adamw8bit,
    "prodigy": _prodigy,
    "prodigy-plus": _prodigy_plus,
}


def set_training(optimizer: torch.optim.Optimizer, training: bool) -> None:
    """Put the parameters where they are stepped, or where they are good: a schedule-free optimiser keeps both."""
    switch = getattr(optimizer, "train" if training else "eval", None)
    if switch is not None:
        switch()
