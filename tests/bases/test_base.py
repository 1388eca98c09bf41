"""Loading a base: what it is, its fingerprint, and what is no base."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from portraitist.bases import load_base
from portraitist.errors import BadConfig


def test_a_base_is_loaded_frozen(tiny_base_folder: Path) -> None:
    base = load_base(tiny_base_folder)
    assert base.family.name == "sd"
    assert base.family.resolution == 32
    assert not base.is_builtin
    for module in base.components.values():
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())


@pytest.fixture
def copy(tiny_base_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base_folder, tmp_path / "copy"))


def test_a_family_that_is_not_covered_is_named(copy: Path) -> None:
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps({**index, "_class_name": "KandinskyPipeline"}))
    with pytest.raises(BadConfig, match="is a KandinskyPipeline, which is not supported yet"):
        load_base(copy)


def test_damaged_bases_are_refused(copy: Path) -> None:
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadConfig, match="copy' is incomplete or damaged"):
        load_base(copy)
    weights.unlink()
    with pytest.raises(BadConfig, match="copy' is incomplete or damaged"):
        load_base(copy)


def edit(file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


TEXT = "text_encoder/model.safetensors"
PARTS = {
    "unet/diffusion_pytorch_model.safetensors": "conv_out.weight",
    "vae/diffusion_pytorch_model.safetensors": "decoder.conv_out.weight",
    TEXT: "encoder.layers.0.mlp.fc1.weight",
}


@pytest.mark.parametrize("file", PARTS)
def test_weights_that_are_missing_or_misshapen_are_named(copy: Path, file: str) -> None:
    key = PARTS[file]
    whole = (copy / file).read_bytes()
    edit(copy / file, lambda tensors: tensors.pop(next(each for each in tensors if each.endswith(key))))
    with pytest.raises(BadConfig, match=rf"incomplete or damaged \(its {file.split('/')[0]} lacks .*{key}\)"):
        load_base(copy)
    (copy / file).write_bytes(whole)
    edit(copy / file, lambda tensors: tensors.update({k: torch.zeros(3, 3) for k in tensors if k.endswith(key)}))
    with pytest.raises(BadConfig, match=rf"incomplete or damaged \(.*{key}.*\(\[?3, 3"):
        load_base(copy)


def test_a_base_without_its_vocabulary_is_refused(copy: Path) -> None:
    shutil.rmtree(copy / "tokenizer")
    with pytest.raises(BadConfig, match="its tokenizer has no vocabulary"):
        load_base(copy)


@pytest.mark.parametrize("scheduler", ["FlowMatchEulerDiscreteScheduler", "EDMDPMSolverMultistepScheduler"])
def test_schedulers_of_another_kind_are_refused(copy: Path, scheduler: str) -> None:
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps({**index, "scheduler": ["diffusers", scheduler]}))
    with pytest.raises(BadConfig, match=f"scheduler is a {scheduler}"):
        load_base(copy)


@pytest.mark.parametrize("index", ["", "{", "[]", '{"_class_name": 3}'])
def test_a_damaged_index_is_refused(copy: Path, index: str) -> None:
    (copy / "model_index.json").write_text(index)
    with pytest.raises(BadConfig, match=r"model_index\.json"):
        load_base(copy)


def test_what_is_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"has no readable model_index\.json"):
        load_base(tmp_path)


SPRINGS = """
from transformers import PretrainedConfig, PreTrainedModel
open({sprung!r}, "w")
class Config(PretrainedConfig): pass
class Model(PreTrainedModel): config_class = Config
"""


@pytest.mark.parametrize("part", ["text_encoder", "tokenizer"])
def test_code_in_a_base_is_neither_run_nor_asked_about(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "yes")
    index = json.loads((copy / "model_index.json").read_text())
    auto = "AutoModel" if part == "text_encoder" else "AutoTokenizer"
    (copy / "model_index.json").write_text(json.dumps({**index, part: ["transformers", auto]}))
    own_class = "springs.Model" if part == "text_encoder" else ["springs.Model", None]
    names = {"AutoConfig": "springs.Config", auto: own_class}
    own = "config.json" if part == "text_encoder" else "tokenizer_config.json"
    (copy / part / own).write_text(json.dumps({"model_type": "springs", "tokenizer_class": "S", "auto_map": names}))
    (copy / part / "springs.py").write_text(SPRINGS.format(sprung=str(tmp_path / "sprung")))
    with pytest.raises(BadConfig, match="copy' is incomplete or damaged"):
        load_base(copy)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("file", PARTS)
def test_weights_that_are_no_numbers_are_refused(copy: Path, file: str) -> None:
    edit(copy / file, lambda tensors: tensors[PARTS[file]].view(-1)[-1:].fill_(float("nan")))
    with pytest.raises(
        BadConfig, match=f"copy' is damaged: {PARTS[file]} of its {file.partition('/')[0]} is not finite"
    ):
        load_base(copy)
