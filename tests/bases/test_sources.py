"""What a base's name can be, without a network: folders, the hub's cache, single files, pickles."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

from portraitist.bases import load_base
from portraitist.bases.sources import find_source
from portraitist.errors import BadConfig
from portraitist.fingerprints import same_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(tiny_base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a snapshot in a cache of the hub, as a download of a branch leaves it."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--someone--tiny"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(tiny_base_folder, model / "snapshots" / COMMIT))


@pytest.mark.parametrize("name", ["someone/tiny", "someone/tiny@main", f"someone/tiny@{COMMIT}"])
def test_a_fetched_model_is_found_offline(cached: Path, tiny_base_folder: Path, name: str) -> None:
    base = load_base(name)
    assert base.name == name
    assert base.fingerprint == load_base(tiny_base_folder).fingerprint


@pytest.mark.parametrize("name", ["someone/else", "someone/tiny@v2"])
def test_what_was_not_fetched_is_not_downloaded(cached: Path, name: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load_base(name)
    command = str(caught.value).partition("fetch it with: ")[2]
    model, _, revision = name.partition("@")
    assert "\n" not in str(caught.value)
    words = shlex.split(command)
    assert words[:3] == ["hf", "download", model]
    assert words[3:5] == (["--revision", revision] if revision else ["--include", "*.json"])


def test_a_snapshot_with_parts_missing_says_how_to_get_them(cached: Path) -> None:
    shutil.rmtree(cached / "vae")
    with pytest.raises(BadConfig, match=r"incomplete or damaged .* fetch it with: hf download someone/tiny"):
        load_base("someone/tiny")


def test_half_precision_copies_are_taken_where_there_are_no_others(tiny_base_folder: Path, tmp_path: Path) -> None:
    base = load_base(tiny_base_folder)
    base.pipeline.to(dtype=torch.float16).save_pretrained(tmp_path / "half", variant="fp16")
    half = load_base(tmp_path / "half", dtype=torch.float16)
    assert half.precision == "float16"
    assert same_weights(half.fingerprint, load_base(tiny_base_folder).fingerprint)


def test_pickles_in_a_folder_are_not_opened(tiny_base_folder: Path, tmp_path: Path) -> None:
    base = load_base(tiny_base_folder)
    base.pipeline.save_pretrained(tmp_path / "pickles", safe_serialization=False)
    for file in (tmp_path / "pickles").rglob("*.safetensors"):  # transformers writes nothing else any more
        file.rename(file.with_name("pytorch_model.bin"))
    with pytest.raises(BadConfig, match=r"holds its weights as pickles \(\.bin\), which are not read"):
        load_base(tmp_path / "pickles")


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.bin", "MODEL.CKPT", "model.ckpt@sd15"])
def test_pickles_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name.partition("@")[0]).write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(BadConfig, match="is a pickle: opening one can run any program"):
        load_base(tmp_path / name)


def test_a_refused_pickle_can_be_converted_by_the_command_that_is_named(tmp_path: Path) -> None:
    weights = {"state_dict": {"a.weight": torch.arange(4.0)}, "global_step": 3}
    torch.save(weights, tmp_path / "model.ckpt")
    with pytest.raises(BadConfig) as caught:
        load_base(tmp_path / "model.ckpt")
    command = shlex.split(str(caught.value).partition("refuses programs: ")[2])
    subprocess.run([sys.executable, *command[1:]], check=True)
    assert torch.equal(load_file(tmp_path / "model.safetensors")["a.weight"], torch.arange(4.0))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "is neither a folder here nor a hub id"),
        ("a/b/c", "is neither a folder here nor a hub id"),
        ("nowhere.safetensors", "does not exist here"),
        ("nowhere.safetensors@sdxl", "does not exist here"),
    ],
)
def test_what_is_nowhere_is_refused(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadConfig, match=message):
        find_source(name)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(BadConfig, match=re.escape("single-file checkpoints end in .safetensors")):
        load_base(tmp_path / "model.gguf")
