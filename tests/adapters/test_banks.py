"""Stacking adapters into banks, taking them apart, and naming one for each sample."""

from pathlib import Path

import pytest
import torch
from torch import nn

from portraitist.adapters import (
    Adapter,
    Attachment,
    find_layers,
    load_adapter,
    load_bank,
    read_index,
    save_adapter,
    save_bank,
    stack,
    unstack,
)
from portraitist.adapters.methods.lora import LoraLinear
from portraitist.errors import BadConfig, BadFile, BaseMismatch

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def components() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"m": nn.ModuleDict({"x": nn.Linear(6, 4), "y": nn.Linear(6, 4)})}


def lora(components: dict[str, nn.Module], seed: int, pattern: str = "m.*", **config: object) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    adapter = Adapter.create("lora", config, find_layers(components, [pattern]), generator)
    for parameter in adapter.named_parameters().values():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return adapter


def test_unstacking_gives_back_what_was_stacked(components: dict[str, nn.Module]) -> None:
    adapters = [lora(components, seed) for seed in range(3)]
    for before, after in zip(adapters, unstack(stack(adapters)), strict=True):
        for name, value in before.named_parameters().items():
            assert torch.equal(after.named_parameters()[name], value)


def test_adapters_that_do_not_fit_make_no_bank(components: dict[str, nn.Module]) -> None:
    with pytest.raises(BadConfig, match="at least one"):
        stack([])
    with pytest.raises(BadConfig, match=r"adapter 2 is lora .*rank=2"):
        stack([lora(components, 0), lora(components, 1, rank=2)])
    with pytest.raises(BadConfig, match=r"differ in layer m\.y"):
        stack([lora(components, 0), lora(components, 1, "m.x")])


def known(components: dict[str, nn.Module], seed: int) -> Adapter:
    adapter = lora(components, seed)
    base = {"name": "toyland", "fingerprint": "1-2-3"}
    adapter.provenance.facts |= {"base": base, "trigger": f"sks {seed}", "portraitist_version": "1"}
    return adapter


def test_a_bank_knows_what_is_known_of_each(components: dict[str, nn.Module]) -> None:
    adapters = [known(components, seed) for seed in range(3)]
    bank = stack(adapters)
    assert bank.provenance.base == adapters[0].provenance.base
    assert bank.provenance.facts["index"] == [{"trigger": f"sks {seed}"} for seed in range(3)]
    for before, after in zip(adapters, unstack(bank), strict=True):
        assert after.provenance == before.provenance
    with pytest.raises(BadConfig, match="single adapter"):
        unstack(adapters[0])


def test_adapters_of_different_bases_make_no_bank(components: dict[str, nn.Module]) -> None:
    first, second = known(components, 0), known(components, 1)
    second.provenance.facts["base"] = {"name": "another", "fingerprint": "1-4-5"}
    with pytest.raises(BaseMismatch, match="different bases"):
        stack([first, second])
    assert unstack(stack([first, second], force=True))[1].provenance == second.provenance


def test_a_bank_file_keeps_every_adapter(components: dict[str, nn.Module], tmp_path: Path) -> None:
    adapters = [known(components, seed) for seed in range(3)]
    bank, path = stack(adapters), tmp_path / "bank.safetensors"
    save_bank(bank, path)
    assert [one.trigger for one in read_index(path)] == ["sks 0", "sks 1", "sks 2"]
    loaded = load_bank(path)
    assert (loaded.space, loaded.provenance) == (bank.space, bank.provenance)
    some = unstack(load_bank(path, [2, 0]))
    for wanted, found in zip([*adapters, adapters[2], adapters[0]], [*unstack(loaded), *some], strict=True):
        assert found.provenance == wanted.provenance
        for name, value in wanted.named_parameters().items():
            assert torch.equal(found.named_parameters()[name], value)
    with pytest.raises(BadConfig, match=r"bank of 3 adapters, counted from 0; it does not have \[3\]"):
        load_bank(path, [3])


def test_files_of_banks_and_of_single_adapters_are_told_apart(components: dict[str, nn.Module], tmp_path: Path) -> None:
    single, bank = lora(components, 0), stack([lora(components, 0), lora(components, 1)])
    with pytest.raises(BadConfig, match="bank of 2 adapters; save_bank writes it"):
        save_adapter(bank, tmp_path / "bank.safetensors")
    with pytest.raises(BadConfig, match="save_adapter writes it"):
        save_bank(single, tmp_path / "single.safetensors")
    save_adapter(single, tmp_path / "single.safetensors")
    save_bank(bank, tmp_path / "bank.safetensors")
    with pytest.raises(BadFile, match="bank of 2 adapters; load_bank reads it"):
        load_adapter(tmp_path / "bank.safetensors")
    with pytest.raises(BadFile, match="single adapter, not a bank"):
        load_bank(tmp_path / "single.safetensors")


def test_banks_of_earlier_versions_are_read() -> None:
    bank = load_bank(FIXTURES / "bank.safetensors")
    assert bank.bank_size == 2
    with pytest.raises(BadFile, match="bank of 2"):
        load_adapter(FIXTURES / "bank.safetensors")


def test_samples_that_name_no_adapter_are_refused(components: dict[str, nn.Module]) -> None:
    attachment = Attachment(components).attach(stack([lora(components, 0), lora(components, 1)]))
    with pytest.raises(BadConfig, match="bank of 2"):
        attachment.serve([0, 2])
    with pytest.raises(BadConfig, match="bank of 2"):
        attachment.serve([])
    attachment.serve([0, 1, 1])
    with pytest.raises(ValueError, match="named for 3 samples, but the batch has 4"):
        components["m"]["x"](torch.randn(4, 6))
    attachment.attach(lora(components, 2), "single")
    with pytest.raises(BadConfig, match="'single' is a single adapter"):
        attachment.serve([0], "single")


def test_serving_ends(components: dict[str, nn.Module]) -> None:
    bank, x = stack([lora(components, 0), lora(components, 1)]), torch.randn(2, 6)
    attachment, layer = Attachment(components).attach(bank), components["m"]["x"]
    in_order = layer(x)
    attachment.serve([1, 0])
    torch.testing.assert_close(layer(x.flip(0)), in_order.flip(0))
    attachment.serve(None)
    assert torch.equal(layer(x), in_order)


def test_samples_are_gathered_once(components: dict[str, nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    bank, x = stack([lora(components, seed) for seed in range(3)]), torch.randn(4, 6)
    attachment, layer = Attachment(components).attach(bank), components["m"]["x"]
    attachment.serve([2, 0])
    monkeypatch.setattr(LoraLinear, "combined", None)
    monkeypatch.setattr(torch.Tensor, "__getitem__", None)
    with torch.no_grad():
        assert torch.equal(layer(x), layer(x))


def test_a_scale_for_every_sample(components: dict[str, nn.Module]) -> None:
    bank, x = stack([lora(components, 0), lora(components, 1)]), torch.randn(2, 6)
    attachment, layer = Attachment(components).attach(bank), components["m"]["x"]
    attachment.serve([0, 1], scales=[0.0, 0.0])
    changed = layer(x)
    attachment.detach()
    assert torch.equal(changed, layer(x))
    attachment.attach(bank)
    with pytest.raises(BadConfig, match="2 samples need as many scales, not 1"):
        attachment.serve([0, 1], scales=[0.5])


def test_samples_that_are_named_while_training_learn(components: dict[str, nn.Module]) -> None:
    bank, x = stack([lora(components, seed) for seed in range(3)]), torch.randn(4, 6)
    attachment, layer = Attachment(components).attach(bank), components["m"]["x"]
    attachment.serve([2, 0])
    with torch.no_grad():
        layer(x)  # what is kept of a pass without gradients does not spoil those with
    layer(x).square().sum().backward()
    grad = bank.values["m.x"]["up"].grad
    assert grad is not None
    assert [bool(rows.abs().max() > 0) for rows in grad] == [True, False, True]
    attachment.serve([1])  # again, for the changed parameters
    layer(x).square().sum().backward()
    assert bool(grad[1].abs().max() > 0)


def test_a_fed_bank_may_be_served(components: dict[str, nn.Module]) -> None:
    adapters, x = [lora(components, seed) for seed in range(3)], torch.randn(2, 6)
    attachment, layer = Attachment(components).attach(adapters[0]), components["m"]["x"]
    attachment.feed("default", stack(adapters).values)
    attachment.serve([2, 1])
    served = layer(x)
    attachment.feed("default", stack([adapters[2], adapters[1]]).values)
    torch.testing.assert_close(layer(x), served)
    attachment.feed("default", adapters[2].values)
    torch.testing.assert_close(layer(x)[0], served[0])


def test_values_that_are_not_of_the_space_are_not_fed(components: dict[str, nn.Module]) -> None:
    adapter = lora(components, 0)
    attachment = Attachment(components).attach(adapter)
    with pytest.raises(BadConfig, match=r"m\.x\.down has shape \(2, 6\) where \(4, 6\) is needed"):
        attachment.feed("default", lora(components, 0, rank=2).values)
    with pytest.raises(BadConfig, match="no adapter named 'other'"):
        attachment.feed("other", adapter.values)
    attachment.merge()
    with pytest.raises(BadConfig, match="unmerge before feeding"):
        attachment.feed("default", adapter.values)


def test_tied_weights_are_fed_everywhere() -> None:
    first, second = nn.Linear(6, 6), nn.Linear(6, 6)
    second.weight = first.weight
    components: dict[str, nn.Module] = {"m": nn.ModuleDict({"first": first, "second": second})}
    adapter, x = lora(components, 0, "m.first"), torch.randn(2, 6)
    attachment = Attachment(components).attach(adapter)
    before = second(x)
    attachment.feed("default", adapter.space.flatten(adapter.values) * 2)
    assert (second(x) - before).abs().max() > 0.1
