"""Every count the papers print or imply, from public configurations alone; no weight is made."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from portraitist.adapters import Adapter, Space, file_size, find_layers
from portraitist.bases.architectures import build_architecture
from portraitist.bases.families import StableDiffusion

SETS = StableDiffusion.layer_sets
LORA_TEXT = SETS["text-attention"]


@cache
def components(name: str) -> dict[str, nn.Module]:
    return build_architecture(name)


def count(base: str, method: str, patterns: tuple[str, ...], **config: Any) -> int:
    return Space.of(method, config, find_layers(components(base), patterns)).count


# The numbers are the paper's to the last one, its KB are not: beside float32 numbers they leave about 280 bytes for
# each tensor, which must be what the authors' file format takes for a name and a shape. Our header takes about 130, so
# our files are 1.8 to 5.9 % smaller, the more so the fewer numbers a tensor has.
SVDIFF_TABLE_1 = {  # subset: (tensors, numbers, the paper's KB)
    "UNet": (391, 322_856, 1404),
    "UNet-CA": (64, 43_776, 194),
    "UNet-CA-KV": (32, 18_816, 84.8),
    "UNet-1D": (109, 100_160, 430),
    "UNet-2D": (184, 140_416, 617),
    "UNet-4D": (98, 82_280, 355),
    "Up-Blocks": (219, 181_568, 789),
    "Down-Blocks": (141, 107_072, 469),
    "Mid-Block": (26, 32_256, 135),
    "Up-CA": (36, 23_808, 106),
    "Down-CA": (24, 15_872, 70.4),
    "Mid-CA": (4, 4_096, 17.7),
}


@pytest.mark.parametrize("subset", SVDIFF_TABLE_1)
def test_svdiff_subsets(subset: str) -> None:
    tensors, numbers, kilobytes = SVDIFF_TABLE_1[subset]
    specs = find_layers(components("sd15"), SETS[subset])
    assert len(specs) == tensors
    assert Space.of("svdiff", {}, specs).count == numbers
    size = file_size(Adapter.create("svdiff", {}, specs, torch.Generator()))
    assert 0.94 < size / (1000 * kilobytes) < 0.985


def test_svdiff_of_other_models() -> None:
    assert count("sd15", "svdiff", ("text_encoder.*",)) == 75_341
    assert count("sd15", "svdiff", ("unet.*", "text_encoder.*")) == 398_197
    assert count("sd21", "svdiff", ("unet.*",)) == 325_928
    assert count("sdxl", "svdiff", ("unet.*",)) == 1_203_880
    assert count("sdxl", "svdiff", ("text_encoder_2.*",)) == 331_597


# arXiv 2402.17412, table 6: the count depends on the product of the two factors only.
KRONA_TABLE_6 = {
    (2, 2): 238_799_040,
    (2, 4): 119_402_880,
    (4, 4): 59_708_160,
    (4, 8): 29_867_520,
    (8, 8): 14_960_640,
    (2, 64): 7_534_080,
    (4, 64): 3_874_560,
    (16, 16): 3_874_560,
    (8, 64): 2_152_320,
    (64, 8): 2_152_320,
    (16, 64): 1_506_240,
    (32, 64): 1_613_280,
    (64, 64): 2_526_960,
    (64, 128): 4_704_120,
    (128, 128): 9_233_340,
}


@pytest.mark.parametrize("factors", KRONA_TABLE_6)
def test_krona_on_sdxl(factors: tuple[int, int]) -> None:
    out_factor, in_factor = factors
    numbers = count("sdxl", "krona", SETS["attention"], out_factor=out_factor, in_factor=in_factor)
    assert numbers == KRONA_TABLE_6[factors]


@pytest.mark.parametrize(("factors", "numbers"), [((4, 64), 520_928), ((8, 64), 328_048)])
def test_krona_on_sd14_with_text_encoder(factors: tuple[int, int], numbers: int) -> None:
    out_factor, in_factor = factors
    assert count("sd15", "krona", SETS["attention+text"], out_factor=out_factor, in_factor=in_factor) == numbers


def test_lora() -> None:
    assert count("sdxl", "lora", SETS["attention"], rank=4) == 5_806_080
    assert count("sdxl", "lora", SETS["attention"], rank=1) == 1_451_520
    assert count("sd15", "lora", SETS["attention"], rank=4) == 797_184
    assert count("sd15", "lora", SETS["attention+text"], rank=4) == 1_092_096
    assert count("sd15", "lora", SETS["lidb-paper"], rank=1) == 385_344
    # weights2weights' published adapters: rank 1 on to_q and to_v
    assert count("sd15", "lora", ("unet.*.to_q", "unet.*.to_v"), rank=1) == 99_648


def test_lidb() -> None:
    assert len(find_layers(components("sd15"), SETS["lidb-paper"])) == 192
    assert len(find_layers(components("sd15"), SETS["attention+text"])) == 176
    assert count("sd15", "lidb", SETS["lidb-paper"]) == 28_800
    assert count("sd15", "lidb", SETS["attention+text"]) == 26_400
    assert count("sdxl", "lidb", SETS["attention"]) == 84_000


def test_full() -> None:
    sizes = {name: sum(p.numel() for p in module.parameters()) for name, module in components("sd15").items()}
    assert sizes == {"unet": 859_520_964, "text_encoder": 123_060_480}
    assert count("sd15", "full", ("unet.*",)) == 859_520_964
    assert count("sd15", "full", ("unet.*", "text_encoder.*")) == 982_581_444


def test_the_papers_ratios() -> None:
    full, krona, lora = 982_581_444, 520_928, 1_092_096
    assert f"{1 - krona / full:.3%}" == "99.947%"  # DiffuseKronA against DreamBooth, on SD 1.4
    # "35 % fewer than LoRA" rounds 3.8 M / 5.8 M; the exact counts give a third.
    assert f"{1 - 3.8 / 5.8:.0%}" == "34%"
    assert f"{1 - 3_874_560 / 5_806_080:.1%}" == "33.3%"
    assert krona / lora < 0.5  # "up to 50 %" holds on SD 1.4
    # "2,200 times smaller" compares files: 3.66 GiB against 1.7 MiB; by numbers it is 2,468 times.
    assert round(3.66 * 2**30 / (1.7 * 2**20), -2) == 2_200
    assert round(full / 398_197) == 2_468
    assert f"{28_800 / 385_344:.1%}" == "7.5%"  # LiDB against rank-1 LoRA


def test_flux_has_the_published_size() -> None:
    transformer = components("flux")["transformer"]
    matrices = find_layers({"transformer": transformer}, ["linear:*"])
    assert len(matrices) == 504
    assert sum(spec.out_features * spec.in_features for spec in matrices) == pytest.approx(11_898e6, rel=1e-4)
