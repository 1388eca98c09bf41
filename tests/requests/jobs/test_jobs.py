"""Jobs from a request in JSON to what came of it: plans, advice, progress, stopping."""

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from portraitist.adapters import load_adapter
from portraitist.bases import load_base
from portraitist.bases.examples import get_example
from portraitist.errors import BadConfig, Stopped, TrainingInterrupted
from portraitist.generation import generate
from portraitist.requests.edit import EditRequest
from portraitist.requests.generate import GenerateRequest
from portraitist.requests.handle import Handle, Progress
from portraitist.requests.jobs.edit import EditJob, EditOutcome
from portraitist.requests.jobs.generate import Generated, GenerateJob, GeneratePlan, _save, slug
from portraitist.requests.jobs.train import Trained, TrainJob, TrainPlan
from portraitist.requests.train import TrainRequest

CAT = get_example("cat-1b7ecd").folder


def ask_to_train(base: Path, folder: Path, **settings: object) -> TrainRequest:
    values = {
        "subjects": [{"photos": [str(CAT)], "class_noun": "cat"}],
        "base": {"name": str(base), "device": "cpu"},
        "settings": {"steps": 3, "prior": "none", **settings},
        "output": str(folder / "cat.safetensors"),
    }
    return TrainRequest.from_json(json.dumps(values))


def test_a_training_run_is_planned_run_and_told_of(tiny_base_folder: Path, tmp_path: Path) -> None:
    job = TrainJob(ask_to_train(tiny_base_folder, tmp_path, **{"photos": {"captions": True}}))
    assert [each.severity for each in job.advice] == ["warning"]
    assert job.advice[0].remedy == "put photo.txt beside photo.png"
    assert not list(tmp_path.iterdir()), "nothing is written before it is run"
    assert [(each.words, each.photos) for each in job.plan.subjects] == [("sks cat", 5)]
    assert (job.plan.precision, job.plan.recipe.method, job.plan.recipe.steps) == ("float32", "lora", 3)
    assert TrainPlan.from_json(job.plan.to_json()) == job.plan

    heard: list[Progress] = []
    trained = job.run(Handle(heard.append))
    assert [(each.stage, each.done, each.total) for each in heard] == [("training", step, 3) for step in (1, 2, 3)]
    assert trained.size == trained.file.stat().st_size
    assert trained.parameters == load_adapter(trained.file).count()
    assert (trained.steps, trained.prompt) == (3, "a photo of sks cat on the beach")
    assert Trained.from_json(trained.to_json()) == trained


def test_a_stopped_training_keeps_its_checkpoint_and_is_finished_by_resuming(
    tiny_base_folder: Path, tmp_path: Path
) -> None:
    through = TrainJob(ask_to_train(tiny_base_folder, tmp_path / "through")).run()
    handle = Handle(lambda progress: handle.stop() if progress.done == 2 else None)
    request = ask_to_train(tiny_base_folder, tmp_path)
    with pytest.raises(TrainingInterrupted, match=r"stopped after step 2 of 3; the checkpoint is in .*cat.safetensors"):
        TrainJob(request).run(handle)
    assert not request.file.exists()
    heard: list[Progress] = []
    resumed = TrainJob(request.model_copy(update={"resume": True})).run(Handle(heard.append))
    assert [each.done for each in heard] == [3], "what was done is not done again"
    values, found = (load_adapter(trained.file).named_parameters() for trained in (through, resumed))
    assert all(torch.equal(value, found[name]) for name, value in values.items())


def test_a_start_that_does_not_fit_is_refused_before_anything_is_run(tiny_base_folder: Path, tmp_path: Path) -> None:
    first = TrainJob(ask_to_train(tiny_base_folder, tmp_path / "first")).run().file
    request = ask_to_train(tiny_base_folder, tmp_path).model_copy(update={"start": first})
    assert TrainJob(request).plan.start == first
    with pytest.raises(BadConfig, match="is a lora adapter, but this run trains full"):
        TrainJob(request.model_copy(update={"method": "full"}))


def test_a_stop_in_the_last_step_changes_nothing(tiny_base_folder: Path, tmp_path: Path) -> None:
    handle = Handle(lambda progress: handle.stop() if progress.done == 3 else None)
    assert TrainJob(ask_to_train(tiny_base_folder, tmp_path)).run(handle).steps == 3


def test_pictures_are_planned_made_and_stopped(tiny_base_folder: Path, tmp_path: Path) -> None:
    values = {
        "prompts": ["a cat", "a dog"],
        "base": {"name": str(tiny_base_folder), "device": "cpu"},
        "count": 1,
        "steps": 1,
        "output": str(tmp_path / "pictures"),
    }
    job = GenerateJob(GenerateRequest.from_json(json.dumps(values)))
    plan = job.plan
    assert (plan.pictures, plan.resolution, plan.steps, plan.scheduler, plan.adapters) == (2, 32, 1, "dpm", {})
    assert GeneratePlan.from_json(plan.to_json()) == plan
    handle = Handle()
    generated = job.run(handle)
    assert handle.progress == Progress(stage="sampling", done=2, total=2)
    assert [path.name for path in generated.pictures] == ["a-cat-0.png", "a-dog-0.png"]
    assert generated.sheet.is_file()
    assert Generated.from_json(generated.to_json()) == generated

    many = GenerateJob(GenerateRequest.parse({**values, "count": 8, "output": tmp_path / "more"}))
    handle.stop()
    with pytest.raises(Stopped, match="stopped while sampling, after 8 of 16"):
        many.run(handle)
    assert not (tmp_path / "more").exists()


def test_an_edit_is_planned_and_made(tiny_base_folder: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 50).convert("RGB").save(photo)
    values = {
        "photo": str(photo),
        "source": "a red robot",
        "target": "a blue robot",
        "base": {"name": str(tiny_base_folder), "device": "cpu"},
        "steps": 1,
        "settings": {"layers": "UNet-CA"},
        "sampling_steps": 2,
        "refinements": 0,
        "check_prompts": False,
        "output": str(tmp_path / "edit"),
    }
    handle = Handle(lambda progress: handle.stop())
    longer = EditRequest.parse({**values, "steps": 2})
    with pytest.raises(TrainingInterrupted, match="stopped after step 1 of 2; the checkpoint is in"):
        EditJob(longer).run(handle)
    assert EditJob(longer.model_copy(update={"resume": True})).run().adapter is not None

    job = EditJob(EditRequest.from_json(json.dumps({**values, "overwrite": True})))
    assert job.plan.recipe is not None
    assert (job.plan.recipe.steps, job.plan.sampling_steps, job.plan.strength) == (1, 2, 0.0)
    heard: list[Progress] = []
    outcome = job.run(Handle(heard.append))
    assert [each.stage for each in heard] == ["learning", "editing", "editing"]
    assert outcome.adapter == tmp_path / "edit" / "adapter.safetensors"
    assert outcome.drift is not None
    assert EditOutcome.from_json(outcome.to_json()) == outcome


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A sks cat, on the beach!", "a-sks-cat-on-the-beach"),
        ("../../etc/passwd", "etc-passwd"),
        ("eine Katze, grün", "eine-katze-grün"),
        ("", "picture"),
        ("?!", "picture"),
        ("long " * 50, "-".join(["long"] * 12)),
    ],
)
def test_file_names(prompt: str, name: str) -> None:
    assert slug(prompt) == name


def test_runs_into_one_folder_lose_no_picture(tiny_base_folder: Path, tmp_path: Path) -> None:
    """Two runs see the same names free, as both look before either writes."""
    base = {"name": str(tiny_base_folder), "device": "cpu"}
    request = GenerateRequest.parse({"prompts": ["a cat"], "count": 2, "steps": 1, "base": base, "output": tmp_path})
    pictures = generate(load_base(tiny_base_folder), ["a cat"] * 2, config=request.config, show_progress=False)
    children = []
    for _ in range(4):
        if (child := os.fork()) == 0:
            _save(pictures, 2, tmp_path)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 12
    assert sum(name.startswith("sheet") for name in names) == 4
