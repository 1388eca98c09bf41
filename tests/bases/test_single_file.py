"""Single-file checkpoints: told by their header alone, held against the architecture, refused when they do not fit.

That the pictures are the same is shown in tests/test_layouts.py.
"""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from original_layout import original_weights
from safetensors.torch import save_file
from tiny_models import save_tiny
from torch import nn
from transformers import CLIPTokenizer

from portraitist.bases import load_base, single_file
from portraitist.bases.architectures import build_architecture, write_architecture
from portraitist.errors import BadConfig
from portraitist.training.planning.planning import make_plan

# UNet, autoencoder, text encoders. The published files of 1.5 and XL hold 1,131 and 2,515 tensors: these, the position
# ids of one CLIP, and in XL the logit scale of the other.
PUBLISHED = {"sd15": 686 + 248 + 196, "sd21": 686 + 248 + 280, "sdxl": 1680 + 248 + 196 + 389}


@cache
def published_shapes(name: str) -> dict[str, tuple[int, ...]]:
    components = {**build_architecture(name), **build_architecture(name, components=("vae",))}
    return {key: tuple(value.shape) for key, value in original_weights(components).items()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("architectures")
    for name in PUBLISHED:
        write_architecture(name, root / name)
    return {name: root / name for name in PUBLISHED}


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size_checkpoints_are_told_and_fit(name: str, folders: dict[str, Path]) -> None:
    shapes = published_shapes(name)
    assert len(shapes) == PUBLISHED[name]
    if name == "sd21":
        with pytest.raises(BadConfig, match=r"write x@sd21 \(512, noise\) or x@sd21-768 \(velocity\)"):
            single_file.recognise(Path("x"), shapes)
    else:
        assert single_file.recognise(Path("x"), shapes) == name
    extra = {"model_ema.decay": (), "cond_stage_model.transformer.text_model.embeddings.position_ids": (1, 77)}
    single_file.check_checkpoint(Path("x"), {**shapes, **(extra if name == "sd15" else {})}, folders[name])


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_files_without_the_level_that_transformers_lost_are_told_and_fit(name: str, folders: dict[str, Path]) -> None:
    shapes = {
        key.replace("transformer.text_model.", "transformer."): shape for key, shape in published_shapes(name).items()
    }
    assert shapes.keys() != published_shapes(name).keys()
    assert single_file.recognise(Path("x"), shapes) == name
    single_file.check_checkpoint(Path("x"), shapes, folders[name])


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_files_without_the_level_are_loaded_and_planned(
    kind: str, clip_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    folder = save_tiny(kind, clip_tokenizer, tmp_path / kind)
    components = load_base(folder).pipeline.components
    modules = {name: part for name, part in components.items() if isinstance(part, nn.Module)}
    weights = original_weights(modules)
    flat = {key.replace("transformer.text_model.", "transformer."): value for key, value in weights.items()}
    assert flat.keys() != weights.keys()
    save_file({key: value.contiguous() for key, value in flat.items()}, tmp_path / "flat.safetensors")
    name = f"{tmp_path / 'flat.safetensors'}@{folder}"
    loaded = load_base(name).pipeline
    for part, module in modules.items():
        found = getattr(loaded, part).state_dict()
        assert all(value.equal(found[key]) for key, value in module.state_dict().items()), part
    plan = make_plan(name, "lora", {"prior": "none"}, 3)
    assert plan.parameters == make_plan(str(folder), "lora", {"prior": "none"}, 3).parameters


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("part", ["model.diffusion_model.middle_block.1", "first_stage_model.decoder.mid", "embedding"])
def test_every_part_is_missed(name: str, part: str, folders: dict[str, Path]) -> None:
    shapes = published_shapes(name)
    gone = next(key for key in shapes if part in key)
    with pytest.raises(BadConfig, match=r"lacks .*; it is incomplete|is incomplete"):
        single_file.check_checkpoint(Path("x"), {k: v for k, v in shapes.items() if k != gone}, folders[name])


def test_another_shape_is_named(folders: dict[str, Path]) -> None:
    key = "model.diffusion_model.output_blocks.3.1.transformer_blocks.0.attn2.to_k.weight"
    shapes = {**published_shapes("sd15"), key: (1280, 1024)}
    with pytest.raises(BadConfig, match=r"attn2\.to_k\.weight of its unet has the shape \(1280, 1024\), not"):
        single_file.check_checkpoint(Path("x"), shapes, folders["sd15"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3)}, "an inpainting or editing model"),
        ({"conditioner.embedders.0.model.ln_final.weight": (1280,)}, "the refiner"),
        ({"lora_unet_x.lora_down.weight": (4, 320)}, "a LoRA; give it with --adapter"),
        ({"unet.down_blocks.0.attentions.0.to_q.lora.down.weight": (4, 320)}, "a LoRA; give it with --adapter"),
        ({"double_blocks.0.img_attn.qkv.lora_A.weight": (4, 3072)}, "a LoRA; give it with --adapter"),
        ({"down_blocks.0.resnets.0.conv1.weight": (320, 320, 3, 3)}, "one component of a diffusers folder"),
        ({"weight": (3,)}, "is not a checkpoint in the original layout"),
    ],
)
def test_other_files_are_told(keys: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        single_file.recognise(Path("x"), keys)


VELOCITY = {"modelspec.predict_key": "v"}


@pytest.mark.parametrize(
    ("keys", "facts", "name"),
    [
        ((), {}, "sdxl"),
        ((), {"modelspec.prediction_type": "epsilon"}, "sdxl"),
        (("v_pred",), {}, "sdxl-v"),
        ((), VELOCITY, "sdxl-v"),
        (("v_pred", "ztsnr"), {}, "sdxl-v-ztsnr"),
    ],
)
def test_an_xl_model_that_predicts_velocity_is_told(
    keys: tuple[str, ...], facts: dict[str, str], name: str, tmp_path: Path
) -> None:
    shapes = {"model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3), "conditioner.embedders.1.model.x": (1,)}
    assert single_file.recognise(Path("x"), {**shapes, **dict.fromkeys(keys, (0,))}, facts) == name
    write_architecture(name, tmp_path)
    scheduler = DDPMScheduler.from_pretrained(tmp_path / "scheduler")
    assert (scheduler.config.prediction_type == "v_prediction") is (name != "sdxl")
    assert (float(scheduler.alphas_cumprod[-1]) == 0) is (name == "sdxl-v-ztsnr")


def test_headers_are_not_trusted(tmp_path: Path) -> None:
    """A file may claim more than it holds; nothing of that size is allocated."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**9, 10**3], "data_offsets": [0, 4 * 10**12]}}).encode()
    for name, content in {
        "claims": len(header).to_bytes(8, "little") + header + bytes(16),
        "long": (2**62).to_bytes(8, "little") + b"{}",
        "short": b"\x10",
        "pickle": b"\x80\x02}q\x00.",
        "empty": b"",
    }.items():
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(content)
        with pytest.raises(BadConfig, match="is not a safetensors file, or is damaged"):
            load_base(file)


def test_a_detail_must_be_known(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(BadConfig, match="'sd3' behind the @ is neither a folder nor an architecture"):
        load_base(f"{file}@sd3")
    with pytest.raises(BadConfig, match=r"has no readable model_index\.json"):
        load_base(f"{file}@{tmp_path}")
    (tmp_path / "model_index.json").write_text('{"_class_name": "KandinskyPipeline"}')
    with pytest.raises(BadConfig, match="is a KandinskyPipeline, which is not supported yet"):
        load_base(f"{file}@{tmp_path}")
    with pytest.raises(BadConfig, match="known by its sizes only"):
        load_base(f"{file}@flux")
    with pytest.raises(BadConfig, match="its unet"):
        load_base(f"{file}@sd21-768")


def test_the_architecture_of_768_pixels_predicts_velocity(tmp_path: Path) -> None:
    assert write_architecture("sd21-768", tmp_path) == "StableDiffusionPipeline"
    scheduler = json.loads((tmp_path / "scheduler" / "scheduler_config.json").read_text())
    unet = json.loads((tmp_path / "unet" / "config.json").read_text())
    assert (scheduler["prediction_type"], unet["sample_size"]) == ("v_prediction", 96)
