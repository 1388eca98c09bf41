from pathlib import Path
from typing import Any

import pytest

from portraitist.bases.architectures import write_architecture
from portraitist.errors import BadConfig
from portraitist.training.planning.architectures import read_architecture
from portraitist.training.planning.counts import Count, count_adapter
from portraitist.training.planning.listing import list_layers


def count(name: str, method: str, config: dict[str, Any], layers: str | None = None) -> Count:
    architecture = read_architecture(name)
    assert architecture is not None
    return count_adapter(architecture, name, method, config, layers)


def test_the_papers_sets_are_counted_without_naming_them() -> None:
    assert count("sd15", "svdiff", {}).parameters == 322_856
    assert count("sdxl", "krona", {"out_factor": 4, "in_factor": 64}).parameters == 3_874_560
    lora = count("sdxl", "lora", {"rank": 4})
    assert (lora.layers, lora.parameters, lora.lora) == (560, 5_806_080, 5_806_080)
    assert count("sd15", "lidb", {}).parameters == 28_800
    assert count("sd15", "textual-inversion", {}).parameters == 768
    assert count("sdxl", "textual-inversion", {"token_ids": (1, 2)}).parameters == 2 * (768 + 1280)
    assert count("sdxl", "krona", {"preset": "paper-16"}).parameters == 1_506_240


def test_ratios_and_bytes() -> None:
    found = count("sd15", "lidb", {}, "lidb-paper")
    assert (found.layers, found.parameters, found.full) == (192, 28_800, 982_581_444)
    assert found.bytes() == {"float32": 115_200, "float16": 57_600}


def test_flux_is_known() -> None:
    assert count("flux", "lora", {"rank": 4}).layers == 190


def test_a_folder_is_of_its_own_family(tmp_path: Path) -> None:
    write_architecture("sdxl", tmp_path)
    architecture = list_layers(str(tmp_path))
    assert count_adapter(architecture, "here", "lora", {"rank": 4}, "text-attention").layers == 4 * (12 + 32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sd15", "lora", {}, "Foo"), "no layer set is named 'Foo'"),
        (("sd15", "loar", {}), "unknown method 'loar'"),
        (("sd15", "krona", {"out_factor": 7}), "to_q has 320 outputs .* the nearest that do are \\(8, 64\\)"),
        (("sd15", "krona", {}, "UNet-1D"), "adapts none of the layers"),
    ],
)
def test_bad_questions(arguments: tuple[str, str, dict[str, int]], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        count(*arguments)


def test_an_architecture_that_is_not_known() -> None:
    assert read_architecture("sd16") is None
    with pytest.raises(BadConfig, match="there is no architecture 'sd16'"):
        list_layers("sd16")
