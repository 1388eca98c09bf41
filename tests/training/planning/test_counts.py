from pathlib import Path

import pytest

from portraitist.bases.architectures import write_architecture
from portraitist.errors import BadConfig
from portraitist.training.planning.counts import count_adapter


def test_the_papers_sets_are_counted_without_naming_them() -> None:
    assert count_adapter("sd15", "svdiff", {}).numbers == 322_856
    assert count_adapter("sdxl", "krona", {"out_factor": 4, "in_factor": 64}).numbers == 3_874_560
    lora = count_adapter("sdxl", "lora", {"rank": 4})
    assert (lora.layers, lora.numbers, lora.lora) == (560, 5_806_080, 5_806_080)
    assert count_adapter("sd15", "lidb", {}).numbers == 28_800
    assert count_adapter("sd15", "textual-inversion", {}).numbers == 768
    assert count_adapter("sdxl", "textual-inversion", {"token_ids": (1, 2)}).numbers == 2 * (768 + 1280)
    assert count_adapter("sdxl", "krona", {"preset": "paper-16"}).numbers == 1_506_240


def test_ratios_and_bytes() -> None:
    count = count_adapter("sd15", "lidb", {}, "lidb-paper")
    assert (count.layers, count.numbers, count.full) == (192, 28_800, 982_581_444)
    assert count.bytes() == {"float32": 115_200, "float16": 57_600}


def test_flux_is_known() -> None:
    assert count_adapter("flux", "lora", {"rank": 4}).layers == 190


def test_a_folder_is_of_its_own_family(tmp_path: Path) -> None:
    write_architecture("sdxl", tmp_path)
    assert count_adapter(str(tmp_path), "lora", {"rank": 4}, "text-attention").layers == 4 * (12 + 32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sd16", "lora", {}), "there is no architecture 'sd16'"),
        (("sd15", "lora", {}, "Foo"), "sd15 has no layer set named 'Foo'"),
        (("sd15", "loar", {}), "unknown method 'loar'"),
        (("sd15", "krona", {"out_factor": 7}), "to_q has 320 outputs .* the nearest that do are \\(8, 64\\)"),
        (("sd15", "krona", {}, "UNet-1D"), "adapts none of the layers"),
    ],
)
def test_bad_questions(arguments: tuple[str, str, dict[str, int]], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        count_adapter(*arguments)
