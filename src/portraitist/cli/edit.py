"""``portraitist edit``: another prompt for one picture."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portraitist.cli.options import (
    DEFAULT_BASE,
    DeviceOption,
    OtherBaseOption,
    ResolutionOption,
    SetOption,
    choose_device,
    parse_settings,
)
from portraitist.cli.reporting import fact, say, warn
from portraitist.errors import BadConfig

if TYPE_CHECKING:
    from PIL import Image

    from portraitist.adapters import Adapter
    from portraitist.bases import Base
    from portraitist.generation.editing import EditConfig, Edited

_NOTHING = "none"
_ADAPTER = "adapter.safetensors"
# Beyond this, the picture that comes back is visibly another one.
_DRIFTED = 0.05


def edit(
    photo: Annotated[Path, typer.Argument(help="The picture.", show_default=False)],
    source: Annotated[str, typer.Option(help="What is to be seen in it, in plain words.")],
    target: Annotated[str, typer.Option(help="What should be seen in it instead.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")] = Path("edit"),
    base: OtherBaseOption = None,
    resolution: ResolutionOption = None,
    method: Annotated[
        str, typer.Option(help="What learns the picture: svdiff, lora, full; none edits without learning.")
    ] = "svdiff",
    adapter: Annotated[
        Path | None, typer.Option(help="What was learnt from this picture before (adapter.safetensors of an edit).")
    ] = None,
    inversion: Annotated[
        bool, typer.Option("--inversion/--no-inversion", help="Start from the picture's own noise; keeps structure.")
    ] = True,
    strength: Annotated[
        float | None, typer.Option(help="How much structure may change, 0 to 1; 0 with inversion, 1 without.")
    ] = None,
    eta: Annotated[float, typer.Option(help="Fresh noise in every sampling step, 0 to 1.")] = 0.0,
    guidance: Annotated[
        float | None, typer.Option(help="Weight of classifier-free guidance; 3 when not given.")
    ] = None,
    negative: Annotated[str | None, typer.Option(help="What to keep away from.")] = None,
    sampling_steps: Annotated[int | None, typer.Option(help="DDIM steps; 50 when not given.")] = None,
    refinements: Annotated[
        int | None, typer.Option(help="Fixed-point evaluations of an inversion step, at most; 0 drifts.")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Results, with seeds that count up.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first result, and of learning.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps of learning the picture.")] = None,
    settings: SetOption = None,
    fit: Annotated[str, typer.Option(help="A picture that is not square: crop, or pad with white.")] = "crop",
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Ask the base whether the source prompt describes the picture.")
    ] = True,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an edit that is there.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Edit one picture by changing its prompt: learn it, find its noise, sample with the target (CoSINE)."""
    overrides = {"seed": seed, **parse_settings(settings)}
    if steps is not None:
        overrides["steps"] = steps
    if adapter is not None and (steps is not None or settings):
        raise BadConfig("--adapter has learnt the picture already; settings of learning (--steps, --set) do nothing")
    if method == _NOTHING and (steps is not None or settings):
        raise BadConfig("--method none learns nothing; settings of learning (--steps, --set) do nothing")

    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.generation import load_base_of, load_for
    from portraitist.generation.edit_files import check_folder, save_edit
    from portraitist.generation.editing import EditConfig
    from portraitist.generation.editing import edit as change
    from portraitist.generation.inversion import Ddim
    from portraitist.training.subjects import read_photo

    given: dict[str, Any] = {"strength": strength, "guidance": guidance, "steps": sampling_steps}
    given["refinements"] = refinements
    given |= {"negative_prompt": negative}
    config = EditConfig(inversion=inversion, eta=eta, **{k: v for k, v in given.items() if v is not None})
    _check_words(source, target, fit)
    check_folder(output, overwrite)
    learnt_before = [adapter] if adapter else []
    name = base or (None if learnt_before else DEFAULT_BASE)
    loaded = load_base_of(learnt_before, name, choose_device(device), resolution=resolution)
    Ddim(loaded, config.steps)  # refuses what cannot be inverted before anything is learnt
    picture = read_photo(photo, loaded.family.resolution, fit)  # type: ignore[arg-type]
    learnt = load_for(loaded, adapter) if adapter else None
    if learnt is None and method != _NOTHING:
        learnt = _teach(loaded, picture, (source, target), method, overrides, output, check, resume, overwrite)
    elif check:
        _warn_of_prompts(loaded, picture, source, target)
    seeds = [seed + index for index in range(count)]
    learnt = learnt.to(loaded.device) if learnt else None
    edited = change(loaded, picture, source, target, learnt, seeds=seeds, config=config)
    facts = _facts(loaded, photo, learnt, config)
    files = save_edit(edited, picture, source, target, output, seeds=seeds, facts=facts)
    _show(edited, config)
    fact("written", f"{len(files.results)} result{'s' * (len(files.results) > 1)} in {output}")
    fact("sheet", str(files.sheet))
    if learnt is not None and adapter is None:
        again = ["portraitist", "edit", str(photo), "--adapter", str(output / _ADAPTER), "--source", source]
        fact("try", shlex.join([*again, "--target", "...", "-o", f"{output}-2"]))


def _check_words(source: str, target: str, fit: str) -> None:
    if fit not in ("crop", "pad"):
        raise BadConfig(f"a picture can be fitted by crop or pad, not {fit!r}")
    if not source.strip():
        raise BadConfig("the source prompt is empty; describe the picture: --source 'a red robot on the beach'")
    if not target.strip():
        raise BadConfig("the target prompt is empty; say what should be seen: --target 'a red robot in the snow'")
    if source.split() == target.split():
        warn("source and target are the same prompt, so the result will be the picture again")


def _teach(
    base: "Base",
    picture: "Image.Image",
    prompts: tuple[str, str],
    method: str,
    overrides: dict[str, Any],
    folder: Path,
    check: bool,
    resume: bool,
    overwrite: bool,
) -> "Adapter":
    """Learn the picture, after everything that can be refused was refused."""
    from portraitist.training.outputs import check_output
    from portraitist.training.single_image import single_image_recipe, teach_picture

    recipe = single_image_recipe(method, base, overrides)
    file = folder / _ADAPTER
    check_output(file, resume, overwrite)
    if check:
        _warn_of_prompts(base, picture, *prompts)
    return teach_picture(base, picture, prompts[0], recipe, output=file, resume=resume, overwrite=overwrite)


def _warn_of_prompts(base: "Base", picture: "Image.Image", source: str, target: str) -> None:
    from portraitist.generation.prompt_fidelity import source_warnings

    for line in source_warnings(base, picture, source, target):
        warn(line)


def _facts(base: "Base", photo: Path, adapter: "Adapter | None", config: "EditConfig") -> dict[str, Any]:
    return {
        "photo": photo.name,
        "base": {"name": base.name, "fingerprint": base.fingerprint},
        "config": {**asdict(config), "strength": config.resolved_strength},
        "recipe": None if adapter is None else adapter.provenance.facts.get("recipe"),
    }


def _show(edited: "Edited", config: "EditConfig") -> None:
    say()
    if config.inversion and edited.drift is not None:
        fact("inversion", f"relative error {edited.drift:.2g}, {edited.evaluations} evaluations")
        if edited.drift > _DRIFTED:
            warn(
                f"the inversion does not lead back to the picture (relative error {edited.drift:.2g}); raise"
                " --refinements or --sampling-steps"
            )
