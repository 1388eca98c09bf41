"""What a LoRA's file tells other programs about itself."""

from typing import Any

import pytest
import torch

from portraitist.adapters import Adapter, Kind, LayerSpec, Provenance, Space
from portraitist.exchange.model_notes import model_notes, network_notes


def lora(width: int, **facts: Any) -> Adapter:
    spec = LayerSpec("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k", Kind.LINEAR, (8, width))
    space = Space.of("lora", {"rank": 2}, [spec])
    values = {spec.name: {key: torch.ones(shape) for key, shape in space.shapes[spec.name].items()}}
    return Adapter(space, values, Provenance(facts))


@pytest.mark.parametrize(
    ("family", "width", "version", "architecture", "side"),
    [
        ("sd", 768, "sd_v1", "stable-diffusion-v1/lora", "512x512"),
        ("sd", 1024, "sd_v2", "stable-diffusion-v2-512/lora", "512x512"),
        ("sdxl", 2048, "sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora", "1024x1024"),
        ("flux", 64, "flux1", "flux-1-dev/lora", "1024x1024"),
    ],
)
def test_bases_have_the_names_of_other_programs(
    family: str, width: int, version: str, architecture: str, side: str
) -> None:
    notes = model_notes(lora(width, base={"family": family}, trigger="sks cat"))
    assert notes["ss_base_model_version"] == version
    assert notes["modelspec.architecture"] == architecture
    assert notes["modelspec.resolution"] == side
    assert (notes["modelspec.sai_model_spec"], notes["modelspec.implementation"]) == ("1.0.1", "diffusers")
    assert notes["ss_v2"] == ("True" if version == "sd_v2" else "False")
    assert notes["modelspec.trigger_phrase"] == notes["modelspec.title"] == "sks cat"


def test_a_network_is_described_as_sd_scripts_does() -> None:
    assert network_notes("lycoris.kohya", 4, 2.0, {"algo": "loha"}) == {
        "ss_network_module": "lycoris.kohya",
        "ss_network_dim": "4",
        "ss_network_alpha": "2.0",
        "ss_network_args": '{"algo": "loha"}',
    }
    assert network_notes("networks.lora", 4, 4)["ss_network_args"] == "{}"


def test_a_base_that_nobody_knows_is_not_named() -> None:
    notes = model_notes(lora(64, base={"family": "sd", "resolution": 64}))
    assert "ss_base_model_version" not in notes
    assert not {"modelspec.architecture", "modelspec.sai_model_spec", "modelspec.implementation"} & notes.keys()
    assert notes["modelspec.resolution"] == "64x64"
    assert "modelspec.trigger_phrase" not in notes
