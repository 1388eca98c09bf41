"""Damaged and dangerous files in every format: one clear line each, no code run, no memory filled."""

import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from comparing import TinyPipeline
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from portraitist.adapters.outline import read_outline
from portraitist.errors import BadFile, MissingBase
from portraitist.exchange.assembling import KroneckerFactors
from portraitist.exchange.exporting import export
from portraitist.exchange.formats import detect, list_formats
from portraitist.exchange.loading import load_any
from portraitist.exchange.recognising import may_be_adapter

LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


@dataclass(frozen=True)
class Sample:
    """A small good adapter: what to load, and the file its tensors are in."""

    path: Path
    weights: Path

    def rewrite(self, change: Callable[[dict[str, Tensor]], None]) -> None:
        """Change the tensors in the file, keeping its metadata."""
        with safe_open(self.weights, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        change(tensors)
        save_file({key: value.contiguous() for key, value in tensors.items()}, self.weights, metadata=metadata)


# XLabs' files are for FLUX.1 alone; see `test_flux`.
@pytest.fixture(params=[each.name for each in list_formats() if each.name != "xlabs"])
def sample(tiny: TinyPipeline, request: pytest.FixtureRequest, tmp_path: Path) -> Sample:
    """Return a good file of each format."""
    name = request.param
    path = weights = tmp_path / "adapter.safetensors"
    if name == "diffusekrona":
        key = LAYER.replace("to_q", "processor.to_q_lora")
        save_file({f"{key}.down.weight": torch.ones(16, 4), f"{key}.up.weight": torch.ones(16, 4)}, path)
    else:
        method = {"lokr": "krona", "loha": "loha", "svdiff-pytorch": "svdiff"}.get(name, "lora")
        if name in ("peft", "svdiff-pytorch"):
            path = tmp_path / "folder"
            weights = path / ("adapter_model.safetensors" if name == "peft" else "spectral_shifts.safetensors")
        export(tiny.draw(method, (LAYER,)), path, name)
    assert detect(path).name == name
    return Sample(path, weights)


def expect(sample: Sample, components: dict[str, nn.Module], complaint: str) -> None:
    """Require one clear line, with and without a base at hand."""
    with pytest.raises(BadFile, match=complaint) as caught:
        load_any(sample.path, components)
    assert "\n" not in str(caught.value)
    assert str(sample.path.parent) in str(caught.value)


def test_the_samples_are_good(tiny: TinyPipeline, sample: Sample) -> None:
    assert list(load_any(sample.path, tiny.components).layers) == [LAYER]


def test_a_closer_look_is_taken_at_every_format(sample: Sample) -> None:
    if detect(sample.path).name != "portraitist":
        assert may_be_adapter(read_outline(sample.weights).shapes)


def test_cut_short(tiny: TinyPipeline, sample: Sample) -> None:
    whole = sample.weights.read_bytes()
    for size in (len(whole) - 20, 100, 8, 3, 0):
        sample.weights.write_bytes(whole[:size])
        expect(sample, tiny.components, "cut short")


def test_garbage_in_the_header(tiny: TinyPipeline, sample: Sample) -> None:
    whole = sample.weights.read_bytes()
    sample.weights.write_bytes(whole[:12] + b"\xff\xfe{{" + whole[16:])
    expect(sample, tiny.components, "damaged or cut short")


def test_pickle_in_disguise(tiny: TinyPipeline, sample: Sample, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",))

    sample.weights.write_bytes(pickle.dumps(Trap()))
    expect(sample, tiny.components, "is a pickle")
    torch.save({"a": torch.zeros(1)}, sample.weights)
    expect(sample, tiny.components, "is a pickle")
    assert not (tmp_path / "sprung").exists()


def test_header_of_a_terabyte(tiny: TinyPipeline, sample: Sample) -> None:
    sample.weights.write_bytes(struct.pack("<Q", 2**40) + b"{}" * 100)
    expect(sample, tiny.components, "claims 1099511627776 bytes")


def test_tensor_of_a_terabyte(tiny: TinyPipeline, sample: Sample) -> None:
    claim = {"a.lora_A.weight": {"dtype": "F32", "shape": [2**20, 2**20], "data_offsets": [0, 2**42]}}
    header = json.dumps(claim).encode()
    sample.weights.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 64)
    expect(sample, tiny.components, "damaged or cut short")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(tiny: TinyPipeline, sample: Sample, value: float) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors[max(tensors)].view(-1)[0] = value

    sample.rewrite(spoil)
    expect(sample, tiny.components, "values that are not finite")


def test_a_tensor_that_nothing_uses(tiny: TinyPipeline, sample: Sample) -> None:
    def add(tensors: dict[str, Tensor]) -> None:
        tensors[f"{max(tensors).rpartition('.')[0]}.strange"] = torch.zeros(2)

    sample.rewrite(add)
    expect(sample, tiny.components, r"1 tensor that .* does not use: .*\.strange$")


def test_a_tensor_that_is_missing(tiny: TinyPipeline, sample: Sample) -> None:
    def drop(tensors: dict[str, Tensor]) -> None:
        del tensors[max(key for key in tensors if "alpha" not in key)]

    sample.rewrite(drop)
    expect(sample, tiny.components, "lacks|holds no|neither one matrix|without an adapter")


def test_wrong_shapes(tiny: TinyPipeline, sample: Sample) -> None:
    def cut(tensors: dict[str, Tensor]) -> None:
        for key, value in tensors.items():
            if value.ndim:
                tensors[key] = value[..., :3]

    sample.rewrite(cut)
    expect(sample, tiny.components, "shape|shifts where|different ranks|which do not form a LoRA")


def test_a_base_with_other_layers(tiny: TinyPipeline, sample: Sample) -> None:
    if detect(sample.path).name == "portraitist":
        return  # it describes its layers itself; attaching compares them
    base = {"unet": nn.ModuleDict({"conv_in": nn.Linear(2, 2)}), "text_encoder": tiny.components["text_encoder"]}
    expect(sample, base, "this base")


def test_ranks_that_would_fill_the_memory(tmp_path: Path) -> None:
    tensors = {}
    for index, (rank, outputs, inputs) in enumerate([(1024, 1024, 1024), (1, 1, 2**21), (1, 1, 2**21)]):
        name = f"lora_unet_down_blocks_{index}_attentions_0_proj_in"
        tensors[f"{name}.lora_down.weight"] = torch.zeros(rank, inputs, dtype=torch.float16)
        tensors[f"{name}.lora_up.weight"] = torch.zeros(outputs, rank, dtype=torch.float16)
    save_file(tensors, tmp_path / "lora.safetensors")
    with pytest.raises(BadFile, match="filled up to their largest rank, 1024, would hold"):
        load_any(tmp_path / "lora.safetensors")


def test_damaged_json_of_peft(tiny: TinyPipeline, tmp_path: Path) -> None:
    export(tiny.draw("lora", (LAYER,)), tmp_path, "peft")
    for text in (b"{", b"[]", b"\xff\xff", b"[" * 100_000):
        (tmp_path / "adapter_config.json").write_bytes(text)
        with pytest.raises(BadFile, match=r"adapter_config\.json is (unreadable|not text)"):
            load_any(tmp_path)


def test_missing_and_unknown(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="does not exist"):
        load_any(tmp_path / "none.safetensors")
    save_file({"image_proj.latents": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(BadFile, match="seems to be an IP-Adapter, not an adapter that can be read"):
        load_any(tmp_path / "other.safetensors")


@pytest.mark.parametrize("name", ["diffusers", "kohya", "lokr"])
def test_layers_that_were_lost_are_named(tiny: TinyPipeline, tmp_path: Path, name: str) -> None:
    path = tmp_path / "adapter.safetensors"
    method, config = ("krona", {"out_factor": 8, "in_factor": 16}) if name == "lokr" else ("lora", {})
    adapter = tiny.draw(method, ("unet.mid_block*to_[qk]", "text_encoder*q_proj"), **config)
    export(adapter, path, name)
    sample = Sample(path, path)
    assert {*load_any(path, tiny.components).layers} == {*adapter.layers}

    def drop(tensors: dict[str, Tensor]) -> None:
        for key in [key for key in tensors if "to_q" in key]:
            del tensors[key]

    sample.rewrite(drop)
    expect(sample, tiny.components, r"lacks 2 layers that it was written with: unet\.mid_block.*to_q")
    expect(sample, tiny.components, "get it again, whole")


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64])
def test_weights_that_are_no_real_numbers(tiny: TinyPipeline, sample: Sample, dtype: torch.dtype) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        key = max(key for key in tensors if "alpha" not in key)
        tensors[key] = torch.ones_like(tensors[key]).to(dtype)

    sample.rewrite(change)
    expect(sample, tiny.components, "is stored as .* can be read")


def test_a_product_larger_than_the_base_is_not_multiplied_out(
    tiny: TinyPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes that would be gigabytes: compared with the base where there is one, not believed without."""
    path, tensors = tmp_path / "lokr.safetensors", {}
    for number in range(2):
        name = f"lora_unet_down_blocks_{number}_attentions_0_transformer_blocks_0_attn1_to_q"
        tensors |= {f"{name}.lokr_w1": torch.ones(1, 1), f"{name}.lokr_w2_a": torch.ones(2**14, 1)}
        tensors |= {f"{name}.lokr_w2_b": torch.ones(1, 2**14)}
    save_file(tensors, path)
    monkeypatch.setattr(KroneckerFactors, "__init__", lambda *_: pytest.fail("was multiplied out"))
    with pytest.raises(MissingBase, match=r"would grow to 536,870,912 numbers; whether .* told with the base"):
        load_any(path)
    with pytest.raises(BadFile, match="this base"):
        load_any(path, tiny.components)


def test_ranks_are_filled_up_in_proportion_to_the_file(tmp_path: Path) -> None:
    tensors = {}
    for index, rank in enumerate([1000, *[1] * 60]):
        name = f"lora_unet_down_blocks_{index}_attentions_0_proj_in"
        tensors[f"{name}.lora_down.weight"] = torch.ones(rank, 1000, dtype=torch.float16)
        tensors[f"{name}.lora_up.weight"] = torch.ones(1000, rank, dtype=torch.float16)
    save_file(tensors, tmp_path / "lora.safetensors")
    with pytest.raises(BadFile, match=r"their largest rank, 1000, would hold 122,000,000 numbers instead of 2,120,000"):
        load_any(tmp_path / "lora.safetensors")


@pytest.mark.parametrize(("precision", "bits"), [("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6), ("F8_E8M0", 8)])
def test_precisions_that_no_adapter_is_kept_in(tmp_path: Path, precision: str, bits: int) -> None:
    name, size = "lora_unet_mid_block_attentions_0_proj_in", 2 * bits
    entries = {"down": [2, 8], "up": [8, 2]}
    header = {
        f"{name}.lora_{side}.weight": {"dtype": precision, "shape": shape, "data_offsets": [n * size, (n + 1) * size]}
        for n, (side, shape) in enumerate(entries.items())
    }
    text = json.dumps(header).encode()
    path = tmp_path / "lora.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(2 * size))
    with pytest.raises(BadFile, match=f"lora_down.weight is stored as {precision}; F64, F32"):
        load_any(path)
