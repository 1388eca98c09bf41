"""Muon: the library's steps are those of its definition, for matrices and for convolutions however they lie."""

import pytest
import torch
from torch import Tensor, nn

from portraitist.training.loop.optimizers import OptimizerChoice, build_optimizer

RATE = 0.01


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return what Newton-Schulz makes of a matrix (Keller Jordan, "Muon", 2024), in float64."""
    x = matrix.double() / matrix.double().norm()
    if len(x) > x.shape[1]:
        return orthogonalised(matrix.T, steps).T
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


def stepped(parameter: nn.Parameter, gradients: list[Tensor], hidden: bool = True) -> Tensor:
    group = {"params": [parameter], "lr": RATE, "weight_decay": 0.0, "hidden": hidden}
    optimizer = build_optimizer([group], OptimizerChoice("muon"))
    for gradient in gradients:
        parameter.grad = gradient.clone(memory_format=torch.preserve_format)
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(6, 10), (10, 6), (8, 4, 3, 3), (4, 16, 1, 1)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_step_is_orthogonalised_nesterov_momentum_of_the_size_of_adamws(
    shape: tuple[int, ...], channels_last: bool
) -> None:
    if channels_last and len(shape) == 2:
        pytest.skip("matrices have no channels")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    generator = torch.Generator().manual_seed(0)
    start = torch.zeros(shape).to(memory_format=layout)
    gradients = [torch.randn(shape, generator=generator).to(memory_format=layout) for _ in range(2)]
    momentum, expected = torch.zeros(shape).double().flatten(1), torch.zeros(shape).double().flatten(1)
    for gradient in gradients:
        momentum = 0.95 * momentum + 0.05 * gradient.double().flatten(1)
        mixed = 0.95 * momentum + 0.05 * gradient.double().flatten(1)
        expected -= RATE * 0.2 * max(momentum.shape) ** 0.5 * orthogonalised(mixed)
    moved = stepped(nn.Parameter(start), gradients).double().flatten(1)
    # the library iterates in bfloat16
    assert (moved - expected).norm() < 0.04 * expected.norm()
    rms = moved.square().mean().sqrt() / len(gradients)
    assert 0.1 * RATE < rms < 0.3 * RATE


def test_equal_shapes_stepped_together_are_stepped_as_if_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    gradients = [torch.randn(6, 4, 3, 3, generator=generator) for _ in range(3)]
    alone = [stepped(nn.Parameter(torch.zeros(6, 4, 3, 3)), [gradient]) for gradient in gradients]
    together = [nn.Parameter(torch.zeros(6, 4, 3, 3)) for _ in gradients]
    optimizer = build_optimizer(
        [{"params": together, "lr": RATE, "weight_decay": 0.0, "hidden": True}], OptimizerChoice("muon")
    )
    for parameter, gradient in zip(together, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=0.02, atol=2e-4)


def test_what_is_not_hidden_is_stepped_by_adamw() -> None:
    generator = torch.Generator().manual_seed(2)
    gradients = [torch.randn(5, generator=generator) for _ in range(3)]
    reference = nn.Parameter(torch.ones(5))
    adamw = torch.optim.AdamW([reference], lr=RATE, weight_decay=0.0)
    for gradient in gradients:
        reference.grad = gradient.clone()
        adamw.step()
    moved = stepped(nn.Parameter(torch.ones(5)), gradients, hidden=False)
    torch.testing.assert_close(moved, reference.detach())
