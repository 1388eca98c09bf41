"""LoRA folders through PEFT itself, both ways."""

import json
import shutil
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import torch
from comparing import TinyPipeline, outputs
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from portraitist.errors import BadFile, UnwritableFolder
from portraitist.exchange.exporting import export
from portraitist.exchange.formats import detect
from portraitist.exchange.loading import load_any

PATTERNS = ("linear:*", "conv:*")


def set_strength(model: nn.Module, scale: float) -> None:
    for module in model.modules():
        if hasattr(module, "set_scale"):
            module.set_scale("default", scale)


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_peft_reads_ours(tiny: TinyPipeline, tmp_path: Path, scale: float) -> None:
    adapter = tiny.draw("lora", PATTERNS, rank=3, alpha=5.0)
    assert export(adapter, tmp_path / "folder", "peft").exact
    pipeline = tiny.load()
    unet = PeftModel.from_pretrained(pipeline.unet, tmp_path / "folder" / "unet")
    text_encoder = PeftModel.from_pretrained(pipeline.text_encoder, tmp_path / "folder" / "text_encoder")
    set_strength(unet, scale)
    set_strength(text_encoder, scale)
    tiny.require_same(tiny.adapted(adapter, scale), outputs(unet, text_encoder))


def train_with_peft(model: nn.Module, folder: Path, **config: Any) -> nn.Module:
    peft_model = get_peft_model(model, LoraConfig(**config))
    generator = torch.Generator().manual_seed(1)
    for name, value in peft_model.named_parameters():
        if "lora_" in name:
            value.data = 0.1 * torch.randn(value.shape, generator=generator)
    peft_model.save_pretrained(folder)
    return peft_model


CONFIGS = {
    "alpha": {"r": 4, "lora_alpha": 6, "target_modules": ["to_q", "conv1", "proj_in"]},
    "stabilised": {"r": 4, "lora_alpha": 6, "use_rslora": True, "target_modules": ["to_v"]},
    "patterns": {
        "r": 4,
        "lora_alpha": 6,
        "rank_pattern": {"to_q": 2},
        "alpha_pattern": {"to_q": 5, "^mid_block.attentions.0.proj_in": 1},
        "target_modules": ["to_q", "to_k", "proj_in"],
    },
}


@pytest.mark.parametrize("known", [True, False], ids=["base", "no-base"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_we_read_what_peft_saves(tiny: TinyPipeline, tmp_path: Path, config: dict[str, Any], known: bool) -> None:
    pipeline = tiny.load()
    unet = train_with_peft(pipeline.unet, tmp_path, **config)
    for path in (tmp_path, tmp_path / "adapter_model.safetensors"):
        assert detect(path).name == "peft"
        tiny.require_same(
            tiny.adapted(load_any(path, tiny.components if known else None)), outputs(unet, pipeline.text_encoder)
        )


def test_components_are_found_by_their_modules(tiny: TinyPipeline, tmp_path: Path) -> None:
    train_with_peft(tiny.load().text_encoder, tmp_path, r=2, target_modules=["q_proj"])
    assert load_any(tmp_path, tiny.components).components() == ["text_encoder"]
    assert load_any(tmp_path).components() == ["text_encoder"]
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    config["auto_mapping"] = None
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert load_any(tmp_path, tiny.components).components() == ["text_encoder"]
    assert load_any(tmp_path).components() == ["text_encoder"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"peft_type": "LOKR"}, "of type 'LOKR'; LORA, LOHA can be read"),
        ({"use_dora": True}, "lora_magnitude_vector, which its configuration speaks of"),
        ({"modules_to_save": ["conv_out"]}, "modules_to_save"),
        ({"lora_alpha": "6"}, "lora_alpha and alpha_pattern must be numbers"),
        ({"alpha_pattern": {"(a+)+": 2}}, "patterns cannot be read"),
        ({"init_lora_weights": "olora"}, "'olora' changed the base's weights too; write it as plain LoRA with"),
        ({"init_lora_weights": "pissa_niter_4"}, "changed the base's weights too"),
        ({"init_lora_weights": "corda"}, "changed the base's weights too"),
        ({"init_lora_weights": "loftq"}, "changed the base's weights too"),
    ],
)
def test_what_is_not_plain_lora_is_refused(
    tiny: TinyPipeline, tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    export(tiny.draw("lora", ("unet.*to_q",), rank=2), tmp_path, "peft")
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BadFile, match=complaint.replace("(", r"\(")):
        load_any(tmp_path)


@pytest.mark.parametrize("init", [True, False, "gaussian", "orthogonal", "eva"])
def test_initialisations_that_leave_the_base_alone_are_read(tiny: TinyPipeline, tmp_path: Path, init: object) -> None:
    export(tiny.draw("lora", ("unet.*to_q",), rank=2), tmp_path, "peft")
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "init_lora_weights": init}))
    assert load_any(tmp_path).components() == ["unet"]


def test_a_folder_without_its_configuration(tiny: TinyPipeline, tmp_path: Path) -> None:
    export(tiny.draw("lora", ("unet.*to_q",), rank=2), tmp_path, "peft")
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(BadFile, match=r"has no adapter_config\.json beside it"):
        load_any(tmp_path / "adapter_model.safetensors")
    with pytest.raises(BadFile, match="folder without an adapter"):
        load_any(tmp_path)


TWO = ("unet.*to_q", "text_encoder*q_proj")


def test_half_a_folder_is_not_taken_for_the_whole(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = tiny.draw("lora", TWO, rank=2)
    export(adapter, tmp_path, "peft")
    assert {*load_any(tmp_path).layers} == {*adapter.layers}
    assert load_any(tmp_path / "unet").components() == ["unet"]
    (tmp_path / "unet" / "adapter_config.json").rename(tmp_path / "kept.json")
    with pytest.raises(BadFile, match=r"unet/adapter_config\.json does not exist"):
        load_any(tmp_path)
    (tmp_path / "kept.json").rename(tmp_path / "unet" / "adapter_config.json")
    shutil.rmtree(tmp_path / "text_encoder")
    with pytest.raises(BadFile, match=r"lacks 1 layer that it was written with: text_encoder\..*q_proj; get it again"):
        load_any(tmp_path)


def test_nothing_of_an_older_adapter_stays_in_a_folder(tiny: TinyPipeline, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    for patterns in (TWO[:1], TWO, TWO[1:]):
        adapter = tiny.draw("lora", patterns, rank=2)
        export(adapter, tmp_path, "peft")
        assert {*load_any(tmp_path).layers} == {*adapter.layers}
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "note.txt",
    ]


def test_a_folder_is_there_whole_or_not_at_all(
    tiny: TinyPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(*_: object, **__: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    adapter = tiny.draw("lora", TWO, rank=2)
    monkeypatch.setattr(Path, "write_text", fill_up)
    with pytest.raises(UnwritableFolder, match="No space left on device"):
        export(adapter, tmp_path / "peft", "peft")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("alpha", ["", [], {}, True, pytest.param(10**400, id="endless")])
def test_strengths_that_are_no_numbers(tiny: TinyPipeline, tmp_path: Path, alpha: object) -> None:
    export(tiny.draw("lora", ("unet.*to_q",), rank=2), tmp_path, "peft")
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "lora_alpha": alpha}))
    with pytest.raises(BadFile, match="lora_alpha and alpha_pattern must be numbers"):
        load_any(tmp_path)


def test_a_strength_that_would_be_infinite(tiny: TinyPipeline, tmp_path: Path) -> None:
    export(tiny.draw("lora", ("unet.*to_q",), rank=2), tmp_path, "peft")
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "lora_alpha": 1e308}))
    with pytest.raises(BadFile, match=r"has the strength 5e\+307 \(alpha / rank\), which no LoRA has"):
        load_any(tmp_path)
