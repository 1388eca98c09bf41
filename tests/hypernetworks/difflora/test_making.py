"""DiffLoRA in its folder: trained in stages, loaded, refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from painted_set import paint_set
from safetensors.torch import load_file
from small_difflora import lora_space, small_difflora

from portraitist.adapters import Space
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.hypernetworks.description import read_description
from portraitist.hypernetworks.difflora.making import WeightWorkshop
from portraitist.hypernetworks.difflora.predictor import WeightGenerator
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.saved import load_hypernetwork
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.reports import read_report


def workshop(
    folder: Path, loras: IdentitySet, base: Base, name: str = "portraitist", **changes: object
) -> WeightWorkshop:
    return WeightWorkshop(folder, name, small_difflora(name, **changes), loras, base, Machine())  # type: ignore[arg-type]


def test_a_folder_tells_everything(difflora_folder: Path, base: Base) -> None:
    description = read_description(difflora_folder)
    assert (description.method, description.recipe_name, description.steps) == ("difflora", "portraitist", 3)
    assert description.output.startswith("LoRAs of rank 2 on")
    assert "one factor A for all" in description.output
    assert description.latent == 5, "six LoRAs have five directions"
    assert "DiffLoRA, arXiv 2408.06740" in (difflora_folder / "README.md").read_text()
    measured = read_report(difflora_folder)["weights"]
    assert measured["error"] < 1e-3, "five components restore six LoRAs"


def test_what_is_loaded_is_what_was_trained(difflora_folder: Path, loras: IdentitySet) -> None:
    loaded = load_hypernetwork(str(difflora_folder)).predictor
    assert isinstance(loaded, WeightGenerator)
    bank = loras.targets(list(loras))
    vectors = loaded.layout.vectors(bank)  # finds the shared factor in float16's precision, or refuses
    torch.testing.assert_close(loaded.decode(loaded.encode(vectors)), vectors, atol=2e-2, rtol=0)


@pytest.mark.parametrize("name", ["paper", "tokens"])
def test_stages_can_be_trained_apart(name: str, loras: IdentitySet, base: Base, tmp_path: Path) -> None:
    ask = workshop(tmp_path / "net", loras, base, name)
    with pytest.raises(BadConfig, match="holds no trained autoencoder"):
        replace(ask, stage="generator").train()
    assert replace(ask, stage="autoencoder").train() is None
    assert read_report(tmp_path / "net")["autoencoder"]["steps"] == 3
    assert replace(ask, stage="generator").train() is not None
    whole = workshop(tmp_path / "whole", loras, base, name)
    whole.train()
    first, second = (load_file(tmp_path / place / "model.safetensors") for place in ("net", "whole"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_loras_with_a_factor_a_of_their_own_are_learnt_in_canonical_form(base: Base, tmp_path: Path) -> None:
    own = paint_set(tmp_path / "set", base, 5, targets=lora_space(base))
    description = workshop(tmp_path / "net", own, base).train()
    assert description is not None
    assert "one factor" not in description.output


def test_what_cannot_be_learnt_from_is_refused(
    loras: IdentitySet, base: Base, painted: IdentitySet, tmp_path: Path, difflora_folder: Path
) -> None:
    with pytest.raises(BadConfig, match="make the set with --target lora"):
        workshop(tmp_path / "a", painted, base).train()
    lidb = Space.of("lidb", {"a": 6, "b": 4}, list(lora_space(base).specs.values()))
    other = paint_set(tmp_path / "lidb", base, 4, targets=lidb)
    with pytest.raises(BadConfig, match="difflora learns from LoRAs"):
        workshop(tmp_path / "b", other, base).train()
    with pytest.raises(BadConfig, match=r"weights.rank is 3, but the targets .* have 2"):
        workshop(tmp_path / "c", loras, base, weights={"rank": 3}).train()
    with pytest.raises(BadConfig, match="too few"):
        workshop(tmp_path / "d", loras.first(2), base).train()
    with pytest.raises(BadConfig, match="in these stages: autoencoder, generator"):
        replace(workshop(tmp_path / "e", loras, base), stage="run").train()
    with pytest.raises(BadConfig, match="with other settings"):
        workshop(difflora_folder, loras, base, features={"mixing": "face"}).train()
