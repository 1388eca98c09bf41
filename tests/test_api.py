"""The package's face: the nouns of the README, imported when they are first used."""

import subprocess
import sys
from pathlib import Path

import pytest

import portraitist


def test_every_public_name_is_there() -> None:
    for name in portraitist.__all__:
        assert getattr(portraitist, name) is not None
    assert set(portraitist.__all__) <= set(dir(portraitist))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = portraitist.trian


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import portraitist, sys; print([n for n in ('torch', 'diffusers', 'numpy', 'PIL') if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_photos_to_pictures_in_ten_lines(tiny_base_folder: Path, tmp_path: Path) -> None:
    from portraitist import Subject, generate, load_adapter, load_base, load_recipe, save_adapter, train
    from portraitist.bases.examples import get_example

    base = load_base(tiny_base_folder)
    subject = Subject.from_folder(get_example("cat-df771e").folder, class_noun="cat", size=base.family.resolution)
    recipe = load_recipe("lora", base.name, base.family.name, overrides={"steps": 2})
    train(base, subject, recipe, output=tmp_path / "cat.safetensors")
    adapter = load_adapter(tmp_path / "cat.safetensors")
    pictures = generate(base, ["a sks cat on the beach"] * 2, adapter, seeds=[0, 1])
    pictures[0].save(tmp_path / "beach.png")
    save_adapter(adapter, tmp_path / "copy.safetensors")
    copy = load_adapter(tmp_path / "copy.safetensors")
    assert copy.provenance.facts == adapter.provenance.facts
    for name, tensor in adapter.named_parameters().items():
        assert tensor.equal(copy.named_parameters()[name])
    assert (tmp_path / "beach.png").stat().st_size > 0
