"""Adapters on the base they were made for, and on others."""

from pathlib import Path
from typing import Any

import pytest
import torch

from portraitist.adapters import Adapter, find_layers
from portraitist.bases import Base, load_base
from portraitist.errors import BaseMismatch
from portraitist.exchange.compatibility import check_base


def adapter(on: Base, /, **metadata: Any) -> Adapter:
    made = Adapter.create("lora", {}, find_layers(on.components, ["unet.*.to_q"]), torch.Generator())
    made.provenance.facts.update(metadata)
    return made


def test_the_base_of_an_adapter_is_checked(base: Base, other_base_folder: Path) -> None:
    other = load_base(other_base_folder)
    made = adapter(base, base={"name": "here", "fingerprint": base.fingerprint})
    check_base(made, base)
    with pytest.raises(BaseMismatch, match=rf"for here \(fingerprint {base.fingerprint}\), not for .*other"):
        check_base(made, other)
    check_base(made, other, force=True)


@pytest.mark.parametrize("named", [{}, {"base": None}, {"base": "toyland"}, {"base": {"name": "toyland"}}])
def test_an_adapter_that_does_not_say_is_let_through(base: Base, named: dict[str, Any]) -> None:
    check_base(adapter(base, **named), base)
