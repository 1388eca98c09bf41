"""The whole way for every layout of every family, with every method: train, save, load elsewhere, generate, export.

What is loaded in a fresh process makes pictures there; stock diffusers makes the same ones from what was exported.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fresh_process
import numpy as np
import pytest
import torch
from original_layout import save_original
from PIL import Image
from tiny_models import KINDS, save_tiny
from torch import nn
from transformers import CLIPTokenizer

from portraitist.bases import Base, load_base
from portraitist.exchange.exporting import export
from portraitist.exchange.merging import merge_into_base
from portraitist.generation import SamplingConfig, generate
from portraitist.training.personalise import train
from portraitist.training.recipes import load_recipe
from portraitist.training.subjects import Subject

LAYOUTS = [*((kind, "folder") for kind in KINDS), *((kind, "single-file") for kind in ("sd1", "sd2", "sdxl"))]
QUICK = {"steps": 2, "batch_size": 1, "accumulate": 1, "prior": "none", "precision": "no", "mirror": False}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"layers": "attention+text", "learning_rate": 0.05},
    "krona": {
        "layers": "attention+text",
        "learning_rate": 0.05,
        "method_config": {"out_factor": 4, "in_factor": 4},
    },
    "lidb": {"layers": "attention+text", "learning_rate": 0.5, "method_config": {"a": 8, "b": 4}},
    "svdiff": {"layers": "attention+text", "learning_rate": 0.5},
    "textual-inversion": {"learning_rate": 1.0},
    "full": {"learning_rate": 0.005},
}
# Attention moves the pictures of an untrained FLUX.1 little: there are two blocks, with a path around each.
EAGERNESS = {"flux": 20}
IN_LORA = ("lora", "krona", "lidb", "svdiff")
# Adapters are computed beside the frozen layer, exports as one sum: rounding may move a pixel's value by one.
ROUNDING = 1


@pytest.fixture(scope="module")
def bases(clip_tokenizer: CLIPTokenizer, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """Return every layout's name for ``--base``."""
    root = tmp_path_factory.mktemp("layouts")
    names = {}
    for kind in KINDS:
        folder = save_tiny(kind, clip_tokenizer, root / kind)
        names[kind, "folder"] = str(folder)
        if (kind, "single-file") in LAYOUTS:
            components = load_base(folder).pipeline.components
            modules = {name: part for name, part in components.items() if isinstance(part, nn.Module)}
            file = save_original(modules, root / f"{kind}.safetensors")
            names[kind, "single-file"] = f"{file}@{folder}"
    return names


@pytest.fixture(scope="module")
def pictures(
    bases: dict[tuple[str, str], str], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Path]:
    """Train and export everything here, make all pictures in one other process; return the folders they are in."""
    root = tmp_path_factory.mktemp("adapters")
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    subject = Subject("mine", "cat", "sks", (photo,), (Path("mine.png"),))
    cases = []
    for (kind, layout), name in bases.items():
        base, folder = load_base(name), root / f"{kind}-{layout}"
        methods = {method: _teach(base, subject, method, folder) for method in METHODS}
        source = name.partition("@")[0]
        cases.append(
            {
                "base": name,
                "source": source,
                "folder": bases[kind, "folder"],
                "methods": methods,
                "pictures": str(folder / "pictures"),
            }
        )
    (root / "cases.json").write_text(json.dumps(cases))
    subprocess.run([sys.executable, fresh_process.__file__, root / "cases.json"], check=True, timeout=300)
    return {key: root / "-".join(key) / "pictures" for key in bases}


def _teach(base: Base, subject: Subject, method: str, folder: Path) -> dict[str, Any]:
    """Train an adapter for two steps, save it, a picture of it, and its export."""
    recipe = load_recipe(method, "", base.family.name, overrides={**QUICK, **METHODS[method]})
    recipe = recipe.replace({"learning_rate": recipe.learning_rate * EAGERNESS.get(base.family.name, 1)})
    file, target = folder / f"{method}.safetensors", folder / f"{method}-export"
    adapter = train(base, subject, recipe, output=file)
    sampling = SamplingConfig(steps=fresh_process.STEPS)
    generate(base, [fresh_process.PROMPT], adapter, config=sampling, show_progress=False)[0].save(
        folder / f"{method}.png"
    )
    if method in IN_LORA:
        target.mkdir()
        export(adapter, target, "diffusers", base.components)
    else:
        merge_into_base(base, {method: (adapter, 1.0)}, target)
    return {"adapter": str(file), "export": str(target), "is_lora": method in IN_LORA}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", LAYOUTS, ids="-".join)
def test_from_training_to_stock_diffusers(
    pictures: dict[tuple[str, str], Path], layout: tuple[str, str], method: str
) -> None:
    folder = pictures[layout]
    here, there = pixels(folder.parent / f"{method}.png"), pixels(folder / f"{method}.png")
    assert np.array_equal(here, there)
    assert np.abs(there - pixels(folder / "frozen.png")).max() > 5 * ROUNDING
    assert np.abs(there - pixels(folder / f"{method}-stock.png")).max() <= ROUNDING


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl"])
def test_both_layouts_are_the_same_base(bases: dict[tuple[str, str], str], kind: str) -> None:
    folder, file = (load_base(bases[kind, layout]) for layout in ("folder", "single-file"))
    assert folder.fingerprint == file.fingerprint
    for name, module in folder.pipeline.components.items():
        if isinstance(module, nn.Module):
            here, there = module.state_dict(), file.pipeline.components[name].state_dict()
            assert here.keys() == there.keys()
            assert all(torch.equal(here[key], there[key]) for key in here)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image, dtype=int)
