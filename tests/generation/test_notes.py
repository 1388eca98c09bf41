"""What a PNG carries about how it was made, and reading it again."""

from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from portraitist.generation.notes import noted_prompt, parameters_line, png_notes

A1111 = "a cat\nNegative prompt: a dog\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 8x8"


def save(path: Path, **texts: str) -> Path:
    info = PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return path


@pytest.mark.parametrize(
    ("texts", "prompt"),
    [
        ({"portraitist": '{"prompt": "a cat"}'}, "a cat"),
        ({"portraitist": '{"seed": 1}', "prompt": "as it was written formerly"}, "as it was written formerly"),
        ({"parameters": A1111}, "a cat"),
        ({"parameters": "a cat\nSteps: 20, Seed: 1"}, "a cat"),
        ({"prompt": '{"3": {"class_type": "KSampler"}}'}, ""),
        ({"portraitist": "{"}, ""),
        ({}, ""),
    ],
)
def test_prompts_are_found(tmp_path: Path, texts: dict[str, str], prompt: str) -> None:
    assert noted_prompt(save(tmp_path / "a.png", **texts)) == prompt


def test_what_is_written_is_read(tmp_path: Path) -> None:
    facts = {"seed": 3, "steps": 20, "scheduler": "dpm", "guidance": 7.5, "negative_prompt": "", "base": "x/model"}
    line = parameters_line("a cat\nin two lines", facts, (64, 48))
    assert line.endswith(
        "Steps: 20, Sampler: DPM++ 2M, CFG scale: 7.5, Seed: 3, Size: 64x48, Model: model, Version: portraitist"
    )
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=png_notes("a cat", facts, line))
    assert noted_prompt(tmp_path / "a.png") == "a cat"
