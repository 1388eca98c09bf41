"""The workshop: stages join into a pipeline, go on where they were, share their time, travel between machines."""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from stand_in_world import stand_in_world

from portraitist.bases import load_base
from portraitist.errors import BadConfig, BadFile, TrainingInterrupted
from portraitist.toyland.budgets import Budget
from portraitist.toyland.config import ToylandConfig, load_config
from portraitist.toyland.making import STAGES, Workshop
from portraitist.toyland.returning import Returns, take_back, write_all
from portraitist.training.loop.loop import Callback, Loop
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.reports import read_report

WORLD = stand_in_world()


@pytest.fixture(scope="module")
def made(tiny_config: ToylandConfig, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A toyland made from nothing, every step in bf16."""
    workshop = Workshop(tmp_path_factory.mktemp("workshop"), tiny_config, WORLD, Machine(precision="bf16"))
    workshop.make()
    return workshop


def test_the_workshop_leaves_a_pipeline_that_draws(made: Workshop) -> None:
    base = load_base(made.folder / "pipeline")
    picture = base.pipeline("a red disc", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
    assert picture.size == (64, 64)
    weights = load_file(made.folder / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    configs = list((made.folder / "pipeline").rglob("*.json"))
    assert not [path for path in configs if str(made.folder) in path.read_text()]


def test_a_pipeline_in_shards_is_loaded(made: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portraitist.toyland.pipeline.LARGEST_FILE", "200KB")
    assert made.export(tmp_path / "sharded") == 4
    assert len(list((tmp_path / "sharded" / "unet").glob("*.safetensors"))) > 1
    assert load_base(tmp_path / "sharded").fingerprint == load_base(made.folder / "pipeline").fingerprint


def test_every_stage_reports(made: Workshop) -> None:
    report = read_report(made.folder)
    assert set(report) == {"autoencoder", "decoder", "text-encoder", "denoiser"}
    assert report["autoencoder"]["validation_mse"] > 0
    assert 0 <= report["text-encoder"]["validation_top1_among_100"] <= 1
    assert report["denoiser"]["validation_loss"] > 0
    assert report["denoiser"]["samples"] == 16


def test_latents_are_scaled_to_unit_variance(made: Workshop) -> None:
    stored = load_file(made.folder / "latents" / "train.safetensors")
    assert stored["latents"].shape == (24, 4, 8, 8)
    assert stored["latents"].float().std().item() == pytest.approx(1.0, abs=0.02)
    assert stored["token_ids"].shape == (24, 2, 24)


def test_finished_stages_are_left_alone(made: Workshop) -> None:
    finished = ("pictures", "autoencoder/vae", "decoder/vae", "text-encoder/text_encoder", "latents")
    before = {path: path.stat().st_mtime_ns for name in finished for path in (made.folder / name).rglob("*")}
    assert before
    made.make(STAGES[:-2])
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.parametrize("stage", ["autoencoder", "decoder", "text-encoder", "denoiser"])
def test_a_stage_that_is_killed_goes_on_bit_identically(made: Workshop, tmp_path: Path, stage: str) -> None:
    def attend(name: str, loop: Loop) -> Sequence[Callback]:
        return [lambda completed: os.kill(os.getpid(), signal.SIGTERM) if completed == 2 else None]

    for name in ("pictures", "autoencoder", "text-encoder", "latents"):
        if name != stage:
            (tmp_path / name).symlink_to(made.folder / name)
    with pytest.raises(
        TrainingInterrupted,
        match=r"stopped after step 2 of .; the checkpoint is in .*; run the same command to continue",
    ):
        Workshop(tmp_path, made.config, WORLD, made.machine, attend=attend).make((stage,))
    Workshop(tmp_path, made.config, WORLD, made.machine).make((stage,))
    through, resumed = (load_file(folder / stage / "last.safetensors") for folder in (made.folder, tmp_path))
    assert through.keys() == resumed.keys()
    assert all(torch.equal(through[name], resumed[name]) for name in through)


def test_a_stage_asks_for_what_it_needs(tmp_path: Path, tiny_config: ToylandConfig) -> None:
    workshop = Workshop(tmp_path, tiny_config, WORLD, Machine())
    with pytest.raises(BadFile, match="is not there yet; run the stage autoencoder first"):
        workshop.make(("decoder",))
    with pytest.raises(BadFile, match="run the stage text-encoder first"):
        workshop.make(("denoiser",))


def test_what_is_made_travels_and_is_trained_on(made: Workshop, tmp_path: Path) -> None:
    write_all(made.folder, tmp_path / "packet")
    take_back(tmp_path / "packet", tmp_path / "taken")
    taken = Workshop(tmp_path / "taken", made.config, WORLD, made.machine)
    assert taken.export(tmp_path / "there") == 0
    ours, theirs = (
        load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
        for folder in (made.folder / "pipeline", tmp_path / "there")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert read_report(tmp_path / "taken") == read_report(made.folder)
    before = read_report(made.folder)["text-encoder"]
    taken.make(("pictures", "autoencoder", "decoder", "text-encoder", "latents", "denoiser"))
    assert read_report(taken.folder)["text-encoder"] == before, "a finished stage is not trained again"
    assert read_report(taken.folder)["denoiser"]["steps"] == 4


def test_packets_are_written_on_the_way(made: Workshop, tmp_path: Path) -> None:
    for name in ("pictures", "autoencoder", "text-encoder", "latents"):
        (tmp_path / name).symlink_to(made.folder / name)
    returns = Returns(tmp_path, tmp_path / "out", seconds=0)
    Workshop(tmp_path, made.config, WORLD, made.machine, attend=returns.attend).make(("denoiser",))
    names = load_file(tmp_path / "out" / "packet-00.safetensors").keys()
    kinds = {name.partition("|")[0] for name in names}
    assert {"denoiser/raw", "denoiser/average", "text-encoder/tokenizer/tokenizer.json"} <= kinds
    assert any(name.startswith("autoencoder/vae/") for name in names)


def test_minutes_are_shared_out_and_what_others_take_is_missed_by_those_that_follow() -> None:
    now = 0.0
    stages = ("pictures", "autoencoder", "latents", "denoiser")
    budget = Budget(10.0, stages, {"autoencoder": 1.0, "denoiser": 3.0}, clock=lambda: now)
    now = 120.0  # pictures were drawn
    assert budget.minutes("autoencoder") == pytest.approx(2.0)
    now = 300.0
    assert budget.minutes("denoiser") == pytest.approx(5.0)
    now = 900.0
    assert budget.minutes("denoiser") == 0.0


def test_a_stage_without_time_is_passed_over_with_what_it_has(tmp_path: Path, made: Workshop) -> None:
    for name in ("pictures", "autoencoder", "text-encoder", "latents"):
        (tmp_path / name).symlink_to(made.folder / name)
    budget = Budget(0.0, ("denoiser",), made.config.shares())
    Workshop(tmp_path, made.config, WORLD, made.machine, budget=budget).make(("denoiser",))
    assert read_report(tmp_path)["denoiser"]["steps"] == 0


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    text = json.dumps(load_config().model_dump(mode="json")).replace('"scaled"', '"scalled"')
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(BadConfig, match=r"mine.yaml: .* did you mean autoencoder\.scaled"):
        load_config(tmp_path / "mine.yaml")
    with pytest.raises(BadConfig, match="nowhere"):
        load_config(tmp_path / "nowhere.yaml")
    assert load_config(changes={"denoiser": {"batch_size": 7}}).denoiser.batch_size == 7
    with pytest.raises(BadConfig, match=r"denoiser\.batches"):
        load_config(changes={"denoiser": {"batches": 7}})
