"""Opening a chosen base: its precision where nobody chose one, said in one line."""

from pathlib import Path

import pytest
import torch

from portraitist.requests.choices import BaseChoice
from portraitist.requests.jobs import opening
from portraitist.requests.jobs.opening import open_base


def test_on_a_processor_a_base_is_held_in_full_and_nothing_is_said(tiny_base_folder: Path) -> None:
    base, advice = open_base(BaseChoice(name=str(tiny_base_folder), device="cpu", resolution=48))
    assert (base.precision, base.family.resolution, advice) == ("float32", 48, [])


@pytest.mark.parametrize(("dtype", "name"), [(torch.bfloat16, "bfloat16"), (torch.float16, "float16")])
def test_elsewhere_it_is_held_as_is_usual_and_that_is_said(
    tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, name: str
) -> None:
    monkeypatch.setattr(opening, "usual_precision", lambda device: dtype)
    base, (note,) = open_base(BaseChoice(name=str(tiny_base_folder), device="cpu"))
    assert (base.precision, note.severity) == (name, "note")
    assert note.text.startswith(f"the base is held in {name} and computes in it")
    assert note.remedy == "use --base-dtype fp32 for full precision"


def test_what_was_chosen_is_not_said(tiny_base_folder: Path) -> None:
    base, advice = open_base(BaseChoice(name=str(tiny_base_folder), device="cpu", precision="bf16"))
    assert (base.precision, advice) == ("bfloat16", [])
