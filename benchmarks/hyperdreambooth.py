"""The networks that `portraitist study hyperdreambooth` compares, each trained for as long, one after the other.

    python -m benchmarks.hyperdreambooth --identities everybody --targets targets -o nets --minutes 30
    portraitist study hyperdreambooth --folder networks=nets

The same command goes on: a network that was trained for so long is passed over, one that was interrupted is trained for
what is left. Networks of recipe `paper` learn from `--targets`, a set with LiDB targets; those that differ in how many
identities they see from `--identities`. What a set cannot give is left out and named. Sets are made so:

    portraitist identities toyland:all -o everybody --count 3000 --encoders toyland-clip,toyland-dino
    portraitist identities toyland:all -o targets --count 400 --photos 1 --target lidb --set batch_size=1 --bank-size 16
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from portraitist.bases import Base
from portraitist.cli.options import parse_settings
from portraitist.hypernetworks.description import CONFIG, read_description
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.making import STAGE, Workshop, choose_identities
from portraitist.hypernetworks.recipes import load_recipe
from portraitist.progress import quiet_libraries
from portraitist.requests.choices import BaseChoice
from portraitist.requests.devices import choose_device
from portraitist.requests.jobs.opening import open_base
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.training import trained_seconds
from portraitist.units import in_time

# A network lacks so few seconds when the clock ended its last step.
_SPARE = 5.0


@dataclass(frozen=True)
class Network:
    """A network to compare.

    Attributes:
        recipe: Its recipe,
        changes: and settings that differ from it, by section.
        count: On how many identities it is trained; all when None.
    """

    recipe: str = "paper"
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    count: int | None = None

    @property
    def wants_targets(self) -> bool:
        """Say whether it learns from the set with targets, as all do that are compared with the paper's."""
        return self.recipe == "paper"


# By the names that the study gives their folders.
NETWORKS = {
    "paper": Network(),
    "k-1": Network(changes={"decoder": {"iterations": 1}}),
    "alpha-0": Network(changes={"losses": {"diffusion": 0.0}}),
    "beta-0": Network(changes={"losses": {"weights": 0.0}}),
    "learned": Network(
        changes={"output": {"space": "subspace", "config": {"changes": 32}}, "losses": {"weights": 0.0}}
    ),
    **{f"identities-{count}": Network("portraitist", count=count) for count in (100, 300, 1000, 3000)},
}


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=Path, help="a set of identities, without targets or with them")
    parser.add_argument("--targets", type=Path, help="a set with LiDB targets")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the networks' folders")
    parser.add_argument("--minutes", type=float, required=True, help="of each network")
    parser.add_argument("--only", help="names, separated by commas")
    parser.add_argument("--set", action="append", help="a setting of all of them, such as training.batch_size=12")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", help="no (float32), bf16 or auto")
    parser.add_argument("--threads", type=int, help="of a CPU run")
    options = parser.parse_args()
    quiet_libraries()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    machine = Machine.choose(device, options.precision)
    names = options.only.split(",") if options.only else list(NETWORKS)
    for name in names:
        place = options.targets if NETWORKS[name].wants_targets else options.identities
        if place is None:
            print(f"{name}: left out, no {'--targets' if NETWORKS[name].wants_targets else '--identities'}")
            continue
        known = IdentitySet.open(place)
        base, _ = open_base(BaseChoice(name=known.settings.base, device=device))
        print(train(name, known, base, options.output / name, options.minutes, machine, parse_settings(options.set)))


def train(
    name: str,
    known: IdentitySet,
    base: Base,
    folder: Path,
    minutes: float,
    machine: Machine,
    changes: Mapping[str, Any],
) -> str:
    """Train a network for what is left of its minutes; return what became of it in one line."""
    wanted = NETWORKS[name]
    members = choose_identities(known, "train", (), wanted.count, flagged=wanted.wants_targets)
    if wanted.wants_targets:
        members = members.with_targets()
    if len(members) < (wanted.count or 1):
        return f"{name}: left out, {known.folder} has only {len(members)} identities for it"
    left = 60 * minutes - trained_seconds(folder / STAGE)
    if left < _SPARE and (folder / CONFIG).exists():
        done = read_description(folder)
        return f"{name}: there already, {done.steps:,} steps in {in_time(done.seconds)}"
    recipe = load_recipe(wanted.recipe, _merged(wanted.changes, changes))
    done = Workshop(folder, wanted.recipe, recipe, members, base, machine, max(left, 0.0) / 60).train()
    return f"{name}: {done.steps:,} steps in {in_time(done.seconds)} on {len(members):,} identities"


def _merged(*changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return settings by section, later ones over earlier ones."""
    sections = dict.fromkeys(section for each in changes for section in each)
    return {
        section: {name: value for each in changes for name, value in each.get(section, {}).items()}
        for section in sections
    }


if __name__ == "__main__":
    main()
