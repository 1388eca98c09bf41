"""A hypernetwork in its folder: trained, resumed, trained on, loaded, refused."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_hypernetworks import small_recipe

from portraitist.bases import Base
from portraitist.errors import BadConfig, BadFile, TrainingInterrupted
from portraitist.hypernetworks.description import read_description
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.making import PredictorWorkshop, choose_identities
from portraitist.hypernetworks.saved import list_hypernetworks, load_hypernetwork, locate, shipped_for
from portraitist.training.networks.machine import Machine


def workshop(folder: Path, painted: IdentitySet, base: Base, **changes: dict[str, object]) -> PredictorWorkshop:
    return PredictorWorkshop(folder, "portraitist", small_recipe(**changes), painted, base, Machine())


def test_a_folder_tells_everything(hypernetwork_folder: Path, base: Base, painted: IdentitySet) -> None:
    description = read_description(hypernetwork_folder)
    assert (description.method, description.recipe_name, description.steps) == ("hyperdreambooth", "portraitist", 3)
    assert description.base_facts.fingerprint == base.fingerprint
    assert description.kinds == {"cat": 2, "robot": 2}
    assert description.recipe == small_recipe()
    card = (hypernetwork_folder / "README.md").read_text()
    assert "2 of class cat, 2 of class robot" in card
    assert "sks" in card


def test_what_is_loaded_predicts_what_was_trained(hypernetwork_folder: Path, base: Base, painted: IdentitySet) -> None:
    loaded = load_hypernetwork(str(hypernetwork_folder))
    assert not any(parameter.requires_grad for parameter in loaded.predictor.parameters())
    features = {"latents": torch.ones(1, 1, 4, 64)}
    numbers = loaded.predictor(features)
    assert numbers.shape == (1, loaded.predictor.output.count)
    assert float(numbers.abs().max()) > 0
    assert loaded.known.names == ("cat", "robot")
    assert float(loaded.predictor.network.memory.projections[0].centre.abs().max()) > 0


def test_an_interrupted_training_ends_like_one_that_was_not(
    hypernetwork_folder: Path, painted: IdentitySet, base: Base, tmp_path: Path
) -> None:
    def stop(step: int) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    folder = tmp_path / "again"
    with pytest.raises(TrainingInterrupted, match="step 2 of 3"):
        replace(workshop(folder, painted, base), callbacks=[stop]).train()
    workshop(folder, painted, base).train()
    first, second = (load_file(place / "model.safetensors") for place in (hypernetwork_folder, folder))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_base_is_left_as_found(painted: IdentitySet, base: Base, tmp_path: Path) -> None:
    before = [type(each).__name__ for each in base.family.denoiser.attn_processors.values()]
    workshop(tmp_path / "h", painted, base).train()
    assert [type(each).__name__ for each in base.family.denoiser.attn_processors.values()] == before
    assert not any("forward" in vars(module) for module in base.family.denoiser.modules())


def test_a_network_begins_with_the_changes_of_another(
    hypernetwork_folder: Path, painted: IdentitySet, base: Base, tmp_path: Path
) -> None:
    there = load_hypernetwork(str(hypernetwork_folder)).predictor
    still: dict[str, object] = {"steps": 1, "changes_learning_rate": 1e-12, "seed": 7}
    replace(workshop(tmp_path / "h", painted, base, training=still), changes_of=there, begun_with="net").train()
    assert "Began with the learned changes of net." in (tmp_path / "h" / "README.md").read_text()
    found = load_hypernetwork(str(tmp_path / "h")).predictor
    for name, value in there.state_dict().items():
        if name.startswith("output.changes."):
            torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=2e-3)
    assert not torch.allclose(found.network.positions, there.network.positions)


def test_only_changes_that_fit_are_begun_with(
    hypernetwork_folder: Path, painted: IdentitySet, base: Base, tmp_path: Path
) -> None:
    there = load_hypernetwork(str(hypernetwork_folder)).predictor
    lidb: dict[str, object] = {"space": "lidb", "config": {"a": 6, "b": 4}}
    with pytest.raises(BadConfig, match="have any to begin with"):
        replace(workshop(tmp_path / "a", painted, base, output=lidb), changes_of=there).train()
    with pytest.raises(BadConfig, match="are 3 a layer on 36 layers, this network's 2 a layer on 36;"):
        replace(workshop(tmp_path / "b", painted, base, output={"config": {"changes": 2}}), changes_of=there).train()


def test_other_folders_are_refused(hypernetwork_folder: Path, painted: IdentitySet, base: Base, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadConfig, match=r"holds other things \(thesis.txt\)"):
        workshop(tmp_path, painted, base).train()
    with pytest.raises(BadConfig, match="with other settings"):
        workshop(hypernetwork_folder, painted, base, output={"config": {"changes": 2}}).train()


def test_hypernetworks_are_found_by_name_or_folder(tmp_path: Path, hypernetwork_folder: Path) -> None:
    with pytest.raises(BadConfig, match="there is no hypernetwork 'toilet'"):
        locate("toilet")
    with pytest.raises(BadFile, match="holds no hypernetwork"):
        load_hypernetwork(str(tmp_path))
    assert locate(str(hypernetwork_folder)) == hypernetwork_folder
    assert shipped_for("no such base") is None
    assert all((folder / "config.json").exists() for folder in list_hypernetworks().values())


def test_damaged_weights_are_named(hypernetwork_folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((hypernetwork_folder / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadFile, match="weights of the hypernetwork"):
        load_hypernetwork(str(tmp_path))


def test_identities_are_chosen(painted: IdentitySet) -> None:
    assert len(choose_identities(painted, "train")) == 4
    assert [entry.kind for entry in choose_identities(painted, "all", ["robot"])] == ["robot", "robot"]
    assert len(choose_identities(painted, "train", count=3)) == 3
    with pytest.raises(BadConfig, match="nobody"):
        choose_identities(painted, "train", ["dog"])


def test_a_configuration_and_weights_of_two_networks_are_no_network(hypernetwork_folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((hypernetwork_folder / name).read_bytes())
    load_hypernetwork(str(tmp_path))
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace("mid_block", "other_block"))
    with pytest.raises(BadFile, match=r"damaged or missing \(they are not those that config.json was written with\)"):
        load_hypernetwork(str(tmp_path))


def test_weights_that_are_no_numbers_are_refused(hypernetwork_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((hypernetwork_folder / "config.json").read_bytes())
    tensors = load_file(hypernetwork_folder / "model.safetensors")
    name = next(name for name, value in tensors.items() if value.is_floating_point() and value.numel())
    tensors[name].view(-1)[0] = torch.nan
    save_file(tensors, tmp_path / "model.safetensors")  # as earlier versions did, without a checksum
    with pytest.raises(BadFile, match="some numbers are not finite"):
        load_hypernetwork(str(tmp_path))


@pytest.mark.parametrize(
    ("there", "instead"), [('"width":16', '"width":1000000'), ('"kind":"linear"', '"kind":"wheel"')]
)
def test_what_is_described_costs_no_more_than_what_was_written(
    hypernetwork_folder: Path, tmp_path: Path, there: str, instead: str
) -> None:
    text = json.dumps(json.loads((hypernetwork_folder / "config.json").read_text()), separators=(",", ":"))
    assert there in text
    (tmp_path / "config.json").write_text(text.replace(there, instead))
    save_file(load_file(hypernetwork_folder / "model.safetensors"), tmp_path / "model.safetensors")
    with pytest.raises(BadFile, match=r"is damaged|are damaged"):
        load_hypernetwork(str(tmp_path))
