"""Exports of every method into what each format can hold."""

from pathlib import Path
from typing import Any

import pytest
from comparing import TinyPipeline

from portraitist.adapters import Conversion, scale, stack, to_lora
from portraitist.errors import BadConfig, BadFile, MissingBase
from portraitist.exchange.exporting import check_target, export
from portraitist.exchange.formats import detect
from portraitist.exchange.loading import load_any

LORA_FORMATS = ("diffusers", "peft", "kohya")
ATTENTION = ("linear:unet.*attn*", "text_encoder.*q_proj")
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 3, "alpha": 2.0},
    "krona": {"out_factor": 8, "in_factor": 16, "scale": 0.7},
    "lidb": {"a": 8, "b": 6, "rank": 2},
    "svdiff": {},
    "full": {"bias": False},
}


@pytest.mark.parametrize("format", LORA_FORMATS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_becomes_an_exact_lora(tiny: TinyPipeline, tmp_path: Path, method: str, format: str) -> None:
    adapter = tiny.draw(method, ATTENTION, size=0.05 if method == "full" else 0.2, **METHODS[method])
    report = export(adapter, tmp_path / "file.safetensors", format, tiny.components)
    assert (report.exact, report.method, report.format) == (True, "lora", format)
    assert detect(tmp_path / "file.safetensors").name == format
    loaded = load_any(tmp_path / "file.safetensors", tiny.components)
    tiny.require_same(tiny.adapted(loaded), tiny.adapted(adapter), 5e-5)


def test_a_given_rank_is_kept_and_reported(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = tiny.draw("krona", ATTENTION, out_factor=8, in_factor=16)
    report = export(adapter, tmp_path / "file.safetensors", "kohya", rank=2)
    wanted: Conversion = to_lora(adapter, 2)
    assert report.energy == wanted.energy
    assert not report.exact
    assert load_any(tmp_path / "file.safetensors").config.rank == 2


def test_what_has_no_lora_form_is_named(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = tiny.draw("full", ("unet.mid_block.attentions.0.norm", "unet.mid_block.attentions.0.proj_in"))
    report = export(adapter, tmp_path / "file.safetensors", "diffusers")
    assert report.dropped == ("unet.mid_block.attentions.0.norm", "unet.mid_block.attentions.0.proj_in (bias)")
    assert not report.exact
    with pytest.raises(BadConfig, match=r"diffusers cannot hold this full adapter; choose portraitist$"):
        export(tiny.draw("full", ("unet.conv_norm_out",)), tmp_path / "none.safetensors", "diffusers")
    assert not (tmp_path / "none.safetensors").exists()


def test_the_native_file_holds_everything(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = tiny.draw("svdiff", ("unet.mid_block*",))
    report = export(adapter, tmp_path / "file.safetensors", "portraitist")
    assert (report.exact, report.method, dict(report.energy)) == (True, "svdiff", {})
    assert set(load_any(tmp_path / "file.safetensors").layers) == set(adapter.layers)


def test_spectral_shifts_need_their_base(tiny: TinyPipeline, tmp_path: Path) -> None:
    with pytest.raises(MissingBase, match="mean nothing without the base"):
        export(tiny.draw("svdiff", ("unet.*to_q",)), tmp_path / "file.safetensors", "kohya")


def test_a_bank_is_refused(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = stack([tiny.draw("lora", ("unet.*to_q",))] * 2)
    with pytest.raises(BadConfig, match="a bank of several adapters cannot be written as a single one"):
        export(adapter, tmp_path / "file.safetensors", "kohya")


def test_negative_strengths_survive(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = scale(tiny.draw("lora", ATTENTION, rank=2, alpha=3.0), -0.5)
    for format in LORA_FORMATS:
        export(adapter, tmp_path / format, format)
        tiny.require_same(tiny.adapted(load_any(tmp_path / format)), tiny.adapted(adapter))


def test_facts_travel_along(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = tiny.draw("lora", ATTENTION, rank=2)
    adapter.provenance.facts.update(trigger="sks robot", base={"name": "toyland", "family": "sd", "fingerprint": "abc"})
    for format in LORA_FORMATS:
        export(adapter, tmp_path / format, format)
        assert load_any(tmp_path / format).provenance.facts == adapter.provenance.facts


def test_an_export_keeps_the_old_file_when_it_fails(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter, path = tiny.draw("lora", ("unet.*to_q",)), tmp_path / "file.safetensors"
    export(adapter, path, "kohya")
    before = path.read_bytes()
    adapter.provenance.facts["bad"] = object()
    with pytest.raises(TypeError):
        export(adapter, path, "kohya")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_where_a_file_is_needed(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = tiny.draw("lora", ("unet.*to_q",))
    with pytest.raises(BadConfig, match="is a folder; the format kohya is one file"):
        export(adapter, tmp_path, "kohya")
    export(adapter, tmp_path, "diffusers")
    assert (tmp_path / "pytorch_lora_weights.safetensors").is_file()


def test_places(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty", "peft")
    check_target(tmp_path / "full", "peft", overwrite=True)
    with pytest.raises(BadFile, match="full exists already"):
        check_target(tmp_path / "full", "peft")
    with pytest.raises(BadConfig, match=r"its name must end in \.safetensors"):
        check_target(tmp_path / "lora.bin", "kohya")
