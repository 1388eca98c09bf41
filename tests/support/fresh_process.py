"""Load bases and adapters in a new process and make pictures: with this package, and with stock diffusers.

Called with a JSON file: a list of cases, each with what `render` reads. Pictures go where a case says.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import diffusers
import torch
from PIL import Image

from portraitist.adapters import load_adapter
from portraitist.bases import Base, load_base
from portraitist.generation import SamplingConfig, generate
from portraitist.progress import quiet_libraries
from portraitist.randomness import derive_seed

PROMPT, SIZE, STEPS = "a photo of a sks cat", 32, 2


def ours(base: Base, adapter: Path | None) -> Image.Image:
    """Return a picture made with this package."""
    loaded = load_adapter(adapter) if adapter else None
    return generate(base, [PROMPT], loaded, config=SamplingConfig(steps=STEPS), show_progress=False)[0].image


def stock(pipeline: Any) -> Image.Image:
    """Return a picture made with diffusers alone, from the same noise."""
    pipeline.set_progress_bar_config(disable=True)
    arguments: dict[str, Any] = {}
    if not isinstance(pipeline, diffusers.FluxPipeline):
        arguments["guidance_scale"] = 5.0 if isinstance(pipeline, diffusers.StableDiffusionXLPipeline) else 7.5
        pipeline.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
        arguments["negative_prompt"] = ""
    else:
        arguments["max_sequence_length"] = pipeline.tokenizer_2.model_max_length
    generator = torch.Generator().manual_seed(derive_seed(0, "sampling"))
    return pipeline(
        PROMPT, height=SIZE, width=SIZE, num_inference_steps=STEPS, generator=generator, **arguments
    ).images[0]


def open_stock(source: str, folder: str) -> Any:
    """Load a folder or a single-file checkpoint as any user of diffusers would."""
    if Path(source).is_dir():
        return diffusers.DiffusionPipeline.from_pretrained(source)
    pipeline = getattr(diffusers, diffusers.DiffusionPipeline.load_config(folder)["_class_name"])
    return pipeline.from_single_file(source, config=folder, local_files_only=True)


def render(case: dict[str, Any]) -> None:
    """Make a base's pictures: alone, with each adapter, and with each export in stock diffusers."""
    base = load_base(case["base"])
    target = Path(case["pictures"])
    target.mkdir(parents=True)
    ours(base, None).save(target / "frozen.png")
    pipeline = open_stock(case["source"], case["folder"])
    for method, files in case["methods"].items():
        ours(base, Path(files["adapter"])).save(target / f"{method}.png")
        if files["is_lora"]:
            pipeline.load_lora_weights(files["export"])
            stock(pipeline).save(target / f"{method}-stock.png")
            pipeline.unload_lora_weights()
        else:
            stock(open_stock(files["export"], case["folder"])).save(target / f"{method}-stock.png")


if __name__ == "__main__":
    quiet_libraries()
    torch.set_num_threads(1)
    for each in json.loads(Path(sys.argv[1]).read_text()):
        render(each)
