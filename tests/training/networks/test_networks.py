"""Training plain networks: groups, machines, packets of weights, starting from them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from portraitist.bases.cards import Card
from portraitist.errors import BadConfig, BadFile
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.loop.loop import Loop
from portraitist.training.loop.processes import Processes
from portraitist.training.networks.draws import Draws
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.packets import file_tensor, read_packet, tensor_file, write_packet
from portraitist.training.networks.parameters import parameter_groups
from portraitist.training.networks.reports import add_facts, read_report
from portraitist.training.networks.settings import NetworkSettings
from portraitist.training.networks.throughput import choose_batch_size
from portraitist.training.networks.training import train_network, trained_weights, write_start

SETTINGS = NetworkSettings(steps=6, batch_size=8, learning_rate=0.01, schedule="cooldown", warmup_steps=2, seed=0)


class Copying:
    """Teach a small network to say what it is told."""

    def __init__(self, width: int = 6) -> None:
        torch.manual_seed(1)
        self.network = nn.Sequential(nn.Linear(4, width), nn.SiLU(), nn.Linear(width, 4))

    def groups(self) -> Sequence[ParameterGroup]:
        return parameter_groups(self.network, 0.01, 0.1)

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        x = torch.randn(8, 4, generator=Draws(0, step, Processes()).torch("x"))
        return {"loss": (self.network(x) - x).square().mean()}

    def after_step(self) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return {"stage": "copying"}


def test_hidden_matrices_are_told_from_everything_else() -> None:
    network = nn.ModuleDict({"conv_in": nn.Conv2d(3, 4, 3), "hidden": nn.Conv2d(4, 4, 3), "norm": nn.GroupNorm(2, 4)})
    hidden, others = parameter_groups(network, 0.1, 0.5, edges=("conv_in",))
    assert list(hidden.parameters) == ["hidden.weight"]
    assert (hidden.hidden, hidden.weight_decay, others.hidden, others.weight_decay) == (True, 0.5, False, 0.0)
    names = {"conv_in.weight", "conv_in.bias", "hidden.bias", "norm.weight", "norm.bias"}
    assert set(others.parameters) == names
    network["hidden"].requires_grad_(False)
    assert len(parameter_groups(network, 0.1, edges=("conv_in",))) == 1


def test_a_stage_leaves_averaged_weights_facts_and_a_checkpoint(tmp_path: Path) -> None:
    task = Copying()
    loop = train_network(task, SETTINGS, tmp_path, "copying", Machine())
    facts = read_report(tmp_path)["copying"]
    assert (facts["steps"], facts["samples"]) == (6, 48)
    weights, step = trained_weights(tmp_path / "copying")
    assert step == 6
    assert loop.average is not None
    for name, value in task.network.named_parameters():
        assert torch.equal(value, weights[name])
    again = Copying()
    assert train_network(again, SETTINGS, tmp_path, "copying", Machine()).completed == 6
    for one, other in zip(task.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_minutes_are_minutes_from_now(tmp_path: Path) -> None:
    train_network(Copying(), SETTINGS, tmp_path, "copying", Machine(), minutes=0.002)
    first = read_report(tmp_path)["copying"]["steps"]
    loop = train_network(Copying(), SETTINGS, tmp_path, "copying", Machine(), minutes=0.002)
    assert loop.completed > first
    assert loop.config.seconds == pytest.approx(0.24, abs=0.05)


def test_a_stage_starts_from_weights_left_for_it(tmp_path: Path) -> None:
    weights = {name: torch.full_like(value, 0.1) for name, value in Copying().network.named_parameters()}
    write_start(tmp_path / "copying", weights)
    seen: list[Tensor] = []

    def attend(stage: str, loop: Loop) -> Sequence[Any]:
        assert stage == "copying"
        assert loop.average is not None
        seen.extend([*loop.parameters.values(), *loop.average.shadow_params])
        assert all((value == 0.1).all() for value in seen)
        return [lambda completed: None]

    train_network(Copying(), SETTINGS, tmp_path, "copying", Machine(), attend=attend)
    assert len(seen) == 8
    write_start(tmp_path / "other", weights)
    with pytest.raises(BadFile, match="belong to a different network"):
        train_network(Copying(width=7), SETTINGS, tmp_path, "other", Machine())


def test_weights_that_nobody_trained_are_missed(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="denoiser holds no checkpoint; train the stage denoiser first"):
        trained_weights(tmp_path / "denoiser")


def test_a_packet_carries_weights_and_files_in_shards(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {f"weight {i}": torch.randn(50, generator=generator) for i in range(5)}
    (tmp_path / "notes.json").write_text('{"a": "ä"}')
    tensors["notes.json"] = file_tensor(tmp_path / "notes.json")
    paths = write_packet(tmp_path / "packet", tensors, limit=250)
    assert len(paths) == 3
    read = read_packet(tmp_path / "packet")
    assert read.keys() == tensors.keys()
    assert torch.equal(read["weight 3"], tensors["weight 3"].half())
    tensor_file(read["notes.json"], tmp_path / "new" / "notes.json")
    assert (tmp_path / "new" / "notes.json").read_text() == '{"a": "ä"}'
    write_packet(tmp_path / "packet", {"weight 0": tensors["weight 0"]}, limit=250)
    assert list(read_packet(tmp_path / "packet")) == ["weight 0"]
    paths[0].write_bytes(b"damaged")
    with pytest.raises(BadFile, match=r"packet-00\.safetensors cannot be read"):
        read_packet(tmp_path / "packet")
    with pytest.raises(BadFile, match="holds no weights"):
        read_packet(tmp_path / "nothing")


def test_processes_share_a_batch_and_draw_their_own() -> None:
    alone = Draws(3, 5, Processes())
    first, second = (Draws(3, 5, Processes(rank, 2)) for rank in (0, 1))
    both = [*first.items(100, 8), *second.items(100, 8)]
    assert both == list(alone.items(100, 8))
    assert first.numpy("x").random() == alone.numpy("x").random() != second.numpy("x").random()
    noise = [torch.randn(2, generator=draws.torch("x")) for draws in (alone, first, second)]
    assert torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0], noise[2])


def test_facts_are_added_to_a_report(tmp_path: Path) -> None:
    add_facts(tmp_path, "one", {"a": 1.0, "b": 2.0})
    add_facts(tmp_path, "one", {"b": 3.0})
    assert read_report(tmp_path) == {"one": {"a": 1.0, "b": 3.0}}
    assert read_report(tmp_path / "elsewhere") == {}


def test_the_smallest_batch_that_is_nearly_the_fastest_is_chosen() -> None:
    speeds = {16: 50.0, 32: 95.0, 64: 100.0, 128: 101.0}
    assert choose_batch_size(speeds.__getitem__, [64, 16, 32]) == (32, {16: 50.0, 32: 95.0, 64: 100.0})

    def run_out(size: int) -> float:
        if size > 16:
            raise torch.OutOfMemoryError
        return speeds[size]

    assert choose_batch_size(run_out, [16, 32, 64]) == (16, {16: 50.0})


def test_a_precision_that_is_not_known_is_refused() -> None:
    with pytest.raises(BadConfig, match="precision must be one of auto, no, bf16, not 'fp8'"):
        Machine.choose("cpu", "fp8")
    assert Machine.choose("cpu").precision in ("no", "bf16")
    assert Machine.choose("cpu", "no").precision == "no"


def test_a_machine_is_at_speed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Card, "of", lambda device: Card("a card", 2**33) if device == "cuda" else None)

    def flags() -> tuple[str, bool]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark

    before = flags()
    with Machine("cuda").at_speed():
        assert flags() == ("high", True)
    assert flags() == before
    with Machine("cpu").at_speed():
        assert flags() == before
