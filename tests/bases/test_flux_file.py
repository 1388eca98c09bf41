"""Single-file checkpoints of FLUX.1: what they load as, and what is refused."""

import re
from pathlib import Path

import pytest
import torch
from original_layout import flux_weights, whole_flux_weights
from safetensors.torch import save_file
from tiny_models import save_tiny
from torch import Tensor, nn
from transformers import CLIPTokenizer

from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig
from portraitist.training.planning.planning import make_plan


@pytest.fixture(scope="module")
def folder(clip_tokenizer: CLIPTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("flux", clip_tokenizer, tmp_path_factory.mktemp("flux") / "folder")


@pytest.fixture(scope="module")
def base(folder: Path) -> Base:
    return load_base(folder)


@pytest.fixture(scope="module")
def weights(base: Base) -> dict[str, Tensor]:
    return flux_weights(base.components["transformer"].state_dict())


def modules(base: Base) -> dict[str, nn.Module]:
    return {name: part for name, part in base.pipeline.components.items() if isinstance(part, nn.Module)}


def write(path: Path, weights: dict[str, Tensor]) -> Path:
    save_file({key: value.contiguous() for key, value in weights.items()}, path)
    return path


def test_a_transformer_takes_the_rest_from_a_folder(
    base: Base, weights: dict[str, Tensor], folder: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "flux.safetensors", weights)
    loaded = load_base(f"{file}@{folder}")
    for name, module in modules(base).items():
        found = getattr(loaded.pipeline, name).state_dict()
        assert all(value.equal(found[key]) for key, value in module.state_dict().items()), name
    assert loaded.fingerprint == base.fingerprint
    plans = [make_plan(name, "lora", {"prior": "none"}, 3) for name in (f"{file}@{folder}", str(folder))]
    assert plans[0].parameters == plans[1].parameters


def test_what_a_whole_file_has_is_taken_from_it(
    base: Base, folder: Path, clip_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    file = write(tmp_path / "whole.safetensors", whole_flux_weights(modules(base)))
    other = save_tiny("flux", clip_tokenizer, tmp_path / "other", seed=1)
    loaded = load_base(f"{file}@{other}")
    for name, module in modules(base).items():
        found = getattr(loaded.pipeline, name).state_dict()
        assert all(value.equal(found[key]) for key, value in module.state_dict().items()), name


def test_plain_fp8_is_read(weights: dict[str, Tensor], folder: Path, tmp_path: Path) -> None:
    rounded = {key: value.to(torch.float8_e4m3fn) for key, value in weights.items()}
    loaded = load_base(f"{write(tmp_path / 'fp8.safetensors', rounded)}@{folder}")
    found = flux_weights(loaded.components["transformer"].state_dict())
    assert all(value.equal(rounded[key].float()) for key, value in found.items())


def test_what_does_not_fit_is_named(weights: dict[str, Tensor], folder: Path, tmp_path: Path) -> None:
    linear = "single_blocks.0.linear1.weight"
    for name, wrong, message in (
        ("less", {k: v for k, v in weights.items() if k != linear}, "lacks single_transformer_blocks.0.attn.to_k"),
        ("more", {**weights, "scaled_fp8": torch.zeros(1)}, "holds scaled_fp8, which this FLUX.1 transformer does not"),
        ("shape", {**weights, "img_in.weight": torch.zeros(32, 96)}, "img_in.weight has the shape (32, 96), not"),
    ):
        file = write(tmp_path / f"{name}.safetensors", wrong)
        with pytest.raises(BadConfig, match=re.escape(message)):
            load_base(f"{file}@{folder}")


def test_the_rest_is_asked_for(weights: dict[str, Tensor], clip_tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    file = write(tmp_path / "flux.safetensors", weights)
    with pytest.raises(BadConfig, match=r"hub id of a whole FLUX\.1 model: .*flux\.safetensors@FOLDER"):
        load_base(file)
    other = save_tiny("sd1", clip_tokenizer, tmp_path / "sd1")
    with pytest.raises(BadConfig, match=r"is a FLUX\.1 transformer, and .*sd1 holds a StableDiffusionPipeline"):
        load_base(f"{file}@{other}")
