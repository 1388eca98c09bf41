"""Networks that are compared with each other, each trained for as long, one after the other; what is done stays."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from portraitist.bases import Base
from portraitist.cli.options import parse_settings
from portraitist.hypernetworks.description import CONFIG
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.making import choose_identities
from portraitist.hypernetworks.systems import get_system
from portraitist.progress import quiet_libraries
from portraitist.requests.choices import BaseChoice
from portraitist.requests.devices import choose_device
from portraitist.requests.jobs.opening import open_base
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.reports import read_report
from portraitist.training.networks.training import trained_seconds
from portraitist.units import in_time

# A network lacks so few seconds when the clock ended its last step.
_SPARE = 5.0


@dataclass(frozen=True)
class Network:
    """A network to compare.

    Attributes:
        system: What kind of hypernetwork it is.
        recipe: Its recipe,
        changes: and settings that differ from it, by section.
        count: On how many identities it is trained; all when None.
        targets: Whether it learns from target adapters.
        flagged: Whether it learns from identities too that the set flags as poor.
        stages: What is trained of it, each for as long.
    """

    system: str
    recipe: str
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    count: int | None = None
    targets: bool = False
    flagged: bool = False
    stages: tuple[str, ...] = ()

    def members(self, known: IdentitySet) -> IdentitySet:
        """Return those of a set that it learns from."""
        chosen = choose_identities(known, "train", (), flagged=self.flagged)
        chosen = chosen.with_targets() if self.targets else chosen
        return chosen if self.count is None else chosen.first(self.count)

    def settings(self, changes: Mapping[str, Any]) -> Any:
        """Return its recipe with changes that all networks share."""
        return get_system(self.system).load_recipe(self.recipe, merged(self.changes, changes))


@dataclass(frozen=True)
class Bench:
    """How all networks are trained.

    Attributes:
        folder: Each gets a folder of its own there.
        minutes: Of each.
        machine: On what.
        device: Where the base goes.
        changes: Settings of all of them, by section.
    """

    folder: Path
    minutes: float
    machine: Machine
    device: str
    changes: Mapping[str, Any]

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Bench":
        """Settle what the options leave open."""
        quiet_libraries()
        if options.threads:
            torch.set_num_threads(options.threads)
        device = choose_device(options.device)
        machine = Machine.choose(device, options.precision)
        return cls(options.output, options.minutes, machine, device, parse_settings(options.set))

    def base(self, known: IdentitySet) -> Base:
        """Load the base of a set."""
        return open_base(BaseChoice(name=known.settings.base, device=self.device))[0]

    def train(self, name: str, network: Network, known: IdentitySet, base: Base) -> str:
        """Train a network for what is left of its minutes; return what became of it in one line."""
        folder, members = self.folder / name, network.members(known)
        if len(members) < (network.count or 1):
            return f"{name}: left out, {known.folder} has only {len(members)} identities for it"
        workshop = get_system(network.system).workshop
        stages = network.stages or workshop.stages
        each, recipe = 60 * self.minutes / len(stages), network.settings(self.changes)
        left = {stage: each - trained_seconds(folder / stage) for stage in stages}
        whole = (folder / CONFIG).exists() or stages[-1] != workshop.stages[-1]
        missing = [stage for stage in stages if left[stage] >= _SPARE or (stage == stages[-1] and not whole)]
        for stage in missing:
            minutes = max(left[stage], 0.0) / 60
            workshop(folder, network.recipe, recipe, members, base, self.machine, minutes, stage=stage).train()
        report = read_report(folder)
        done = ", ".join(f"{report[stage]['steps']:,.0f} steps of {stage}" for stage in stages)
        seconds = sum(trained_seconds(folder / stage) for stage in stages)
        there = "" if missing else "there already, "
        return f"{name}: {there}{done} in {in_time(seconds)} on {len(members):,} identities"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what is to be said of the training of networks."""
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the networks' folders")
    parser.add_argument("--minutes", type=float, required=True, help="of each network")
    parser.add_argument("--set", action="append", help="a setting of all of them, such as training.batch_size=12")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", help="no (float32), bf16 or auto")
    parser.add_argument("--threads", type=int, help="of a CPU run")


def chosen(names: str | None, networks: Mapping[str, Network]) -> Sequence[str]:
    """Return which of some networks are meant, all where nobody says so."""
    return names.split(",") if names else list(networks)


def merged(*changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return settings by section, later ones over earlier ones."""
    sections = dict.fromkeys(section for each in changes for section in each)
    return {
        section: {name: value for each in changes for name, value in each.get(section, {}).items()}
        for section in sections
    }
