"""Models of the hub, from one on loopback: what is fetched, what is said, what is refused."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from original_layout import flux_weights
from safetensors.torch import load_file, save_file
from small_hub import COMMIT, SmallHub, serve
from tiny_models import save_tiny
from transformers import CLIPTokenizer

from portraitist.bases import hub as hub_module
from portraitist.bases import load_base
from portraitist.bases.hub import choose_files, go_offline, is_whole
from portraitist.bases.skeletons import build_skeleton
from portraitist.bases.sources import find_source, is_fetchable
from portraitist.errors import BadConfig
from portraitist.exchange.compatibility import base_facts

SDXL = {
    "unet": ["diffusers", "UNet2DConditionModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "image_encoder": [None, None],
    "_class_name": "StableDiffusionXLPipeline",
}
FILES = [
    "README.md",
    "model_index.json",
    "sd_xl_base.safetensors",
    "safety_checker/config.json",
    "safety_checker/model.safetensors",
    "text_encoder/config.json",
    "text_encoder/flax_model.msgpack",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/model.onnx",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.safetensors.index.json",
]
ALWAYS = [
    "model_index.json",
    "text_encoder/config.json",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "unet/config.json",
]


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what ``HF_ENDPOINT`` does when the hub's library is imported."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)


@pytest.fixture
def hub(tiny_base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """Serve the tiny base in whole and half precision with things beside that nobody needs."""
    folder = shutil.copytree(tiny_base_folder, tmp_path / "repository")
    for file in list(folder.glob("*/*.safetensors")):
        half = {key: value.half() for key, value in load_file(file).items()}
        save_file(half, file.with_suffix(".fp16.safetensors"), {"format": "pt"})
        file.with_suffix(".bin").write_bytes(b"\x80")
    (folder / "whole.safetensors").write_bytes(bytes(100))
    (folder / "README.md").write_text("a model")
    for name in ("gated", "pickled"):
        shutil.copytree(folder, tmp_path / name)
    for file in (tmp_path / "pickled").glob("*/*.safetensors"):
        file.unlink()
    (tmp_path / "flat").mkdir()
    repositories = {
        "someone/tiny": folder,
        "someone/gated": tmp_path / "gated",
        "someone/pickled": tmp_path / "pickled",
        "someone/flat": tmp_path / "flat",
    }
    with serve(SmallHub(repositories, {"someone/gated"})) as hub:
        point_to(hub.endpoint, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield hub


def test_what_a_pipeline_needs() -> None:
    whole = [name for name in FILES if re.search(r"unet/.*(of-0|index)|text_encoder/model.safetensors", name)]
    assert choose_files(FILES, SDXL, half=False) == sorted([*ALWAYS, *whole])
    halves = [name for name in FILES if ".fp16." in name]
    assert choose_files(FILES, SDXL, half=True) == sorted([*ALWAYS, *halves])
    without = [name for name in FILES if name not in halves]
    assert choose_files(without, SDXL, half=True) == sorted([*ALWAYS, *whole])
    assert choose_files(FILES, SDXL, half=False, weights=False) == sorted(ALWAYS)
    assert choose_files(FILES, SDXL, half=True, without=["unet"]) == sorted([*ALWAYS, halves[0]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_model_is_fetched_once(
    hub: SmallHub, tiny_base_folder: Path, dtype: torch.dtype, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_fetchable("someone/tiny")
    base = load_base("someone/tiny", dtype=dtype)
    said = capsys.readouterr().err
    assert re.search(r"someone/tiny: fetching [\d.]+ [MkG]B in \d+ files into ", said)
    assert base.fingerprint == load_base(tiny_base_folder, dtype=dtype).fingerprint
    weights = [name for name in hub.fetched if name.endswith(".safetensors")]
    assert len(weights) == len(set(weights)) == 3
    assert all((".fp16." in name) is (dtype is torch.float16) for name in weights)
    assert not [name for name in hub.fetched if name.endswith((".bin", ".md"))]
    assert (base.revision, base_facts(base).revision) == (COMMIT, COMMIT)
    hub.fetched.clear()
    assert not is_fetchable("someone/tiny")
    assert load_base("someone/tiny", dtype=dtype).fingerprint == base.fingerprint
    assert not hub.fetched
    assert "fetching" not in capsys.readouterr().err


def test_what_is_missing_is_fetched_again(hub: SmallHub) -> None:
    build_skeleton("someone/tiny")
    assert not [name for name in hub.fetched if name.endswith(".safetensors")]
    folder = find_source("someone/tiny").path
    assert is_whole(folder, weights=False)
    assert not is_whole(folder)
    load_base(f"someone/tiny@{COMMIT}")
    assert is_whole(folder)
    hub.fetched.clear()
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    load_base("someone/tiny")
    assert [name for name in hub.fetched if name.endswith(".safetensors")] in (
        [],
        ["vae/diffusion_pytorch_model.safetensors"],
    )


def test_a_single_file_of_flux_takes_what_it_lacks_from_the_hub(
    hub: SmallHub, clip_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    folder = save_tiny("flux", clip_tokenizer, tmp_path / "flux")
    hub.repositories["someone/flux"] = folder
    whole = load_base(folder)
    weights = flux_weights(whole.components["transformer"].state_dict())
    save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / "flux.safetensors")
    found = load_base(f"{tmp_path / 'flux.safetensors'}@someone/flux@{COMMIT}")
    assert found.fingerprint == whole.fingerprint
    fetched = {name.partition("/")[0] for name in hub.fetched if name.endswith(".safetensors")}
    assert fetched == {"vae", "text_encoder", "text_encoder_2"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "someone/else",
            r"is neither a folder here nor a model at http://127\.0\.0\.1:\d+/someone/else; check the spel",
        ),
        ("someone/tiny@v2", "someone/tiny has no revision 'v2'"),
        ("someone/gated", r"is gated: accept its terms at http://127\.0\.0\.1:\d+/someone/gated, and log in"),
        ("someone/flat", r"has no model_index\.json, so it is not a model in the diffusers layout"),
        ("someone/pickled", r"holds the weights of its \w+ as pickles"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(hub: SmallHub, name: str, message: str) -> None:
    with pytest.raises(BadConfig, match=message) as caught:
        load_base(name)
    assert "\n" not in str(caught.value)


def test_a_hub_that_is_away_is_one_line(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to("http://127.0.0.1:9", monkeypatch)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between its tries
    with pytest.raises(BadConfig, match="cannot be reached; check the connection"):
        load_base("someone/tiny")


def test_a_full_disk_is_seen_before(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(hub_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BadConfig, match=r"someone/tiny takes .*B, and .*cache has 1 kB free; make room"):
        load_base("someone/tiny")
    assert not [name for name in hub.fetched if name.endswith(".safetensors")]


def test_nothing_is_asked_offline(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    go_offline()
    assert not is_fetchable("someone/tiny")
    with pytest.raises(BadConfig, match="nor in the hub's cache; if it is on the hub, fetch it with: hf download"):
        load_base("someone/tiny")
    assert not hub.fetched


def test_snapshots_with_shards_missing_are_not_whole(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"unet": ["diffusers", "UNet2DConditionModel"]}))
    unet = tmp_path / "unet"
    unet.mkdir()
    assert not is_whole(tmp_path, weights=False)
    (unet / "config.json").write_text("{}")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (unet / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (unet / shards["a"]).touch()
    assert is_whole(tmp_path, weights=False)
    assert not is_whole(tmp_path)
    (unet / shards["b"]).touch()
    assert is_whole(tmp_path)
    (unet / "model.safetensors.index.json").write_text("[]")
    assert not is_whole(tmp_path)
