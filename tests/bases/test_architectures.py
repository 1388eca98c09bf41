"""Architectures written out as folders, and folders that are none."""

import json
from pathlib import Path

import pytest
from diffusers import DiffusionPipeline

from portraitist.bases.architectures import architecture_family, build_architecture, write_architecture
from portraitist.errors import BadConfig


@pytest.mark.parametrize("name", ["sd15", "sd21", "sd21-768", "sdxl", "sdxl-v"])
def test_a_written_architecture_is_the_one_that_is_built(name: str, tmp_path: Path) -> None:
    pipeline = write_architecture(name, tmp_path)
    assert DiffusionPipeline.load_config(tmp_path)["_class_name"] == pipeline
    assert architecture_family(tmp_path) == architecture_family(name)
    for component in build_architecture(name):
        named, written = (build_architecture(source, components=(component,))[component] for source in (name, tmp_path))
        assert {k: v.shape for k, v in named.state_dict().items()} == {
            k: v.shape for k, v in written.state_dict().items()
        }


def test_configurations_that_make_no_model_are_refused(tmp_path: Path) -> None:
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "NoModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("{}")
    with pytest.raises(BadConfig, match="the configuration of a NoModel cannot be used"):
        build_architecture(tmp_path)
    (tmp_path / "unet" / "config.json").write_text("{")
    with pytest.raises(BadConfig, match="is not a folder in the diffusers layout"):
        build_architecture(tmp_path)
