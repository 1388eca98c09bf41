"""What training by recipe `paper` does to its two losses, and what the files it predicts are.

    portraitist identities toyland:people -o targets --count 48 --photos 1 --encoders toyland-clip,toyland-dino \
        --target lidb --set batch_size=1 --bank-size 16
    portraitist hypernetwork train hyperdreambooth --identities targets -o net --recipe paper --flagged --minutes 8 \
        --set training.batch_size=12
    python -m benchmarks.paper_recipe net targets

Losses before and after are of the same photos with the same noise. The mean of all targets is the nearest that can be
told without a photo.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import fmean

import torch

from portraitist.adapters import load_adapter, save_adapter
from portraitist.bases import Base
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.making import build_predictor, choose_identities
from portraitist.hypernetworks.material import Material
from portraitist.hypernetworks.networks.predictor import Predictor
from portraitist.hypernetworks.predicting import Seer
from portraitist.hypernetworks.saved import load_hypernetwork
from portraitist.hypernetworks.task import HypernetworkTask
from portraitist.markdown import table
from portraitist.progress import quiet_libraries
from portraitist.requests.choices import BaseChoice
from portraitist.requests.jobs.opening import open_base
from portraitist.training.networks.machine import Machine

_LOSSES = ("diffusion", "weights")
_FEATURES = "features"


def main() -> None:
    """Print the losses and the size of a predicted file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="folder of a network of recipe paper")
    parser.add_argument("identities", type=Path, help="the set it was trained on")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    quiet_libraries()
    known = IdentitySet.open(options.identities)
    base, _ = open_base(BaseChoice(name=known.settings.base, device=options.device))
    seer = Seer(load_hypernetwork(str(options.network), options.device), base)
    members = choose_identities(known, "train", flagged=True).with_targets()
    material = Material.gather(members, seer.sight, options.network / _FEATURES)
    trained = seer.hypernetwork.predictor
    torch.manual_seed(seer.hypernetwork.description.recipe.training.seed)
    untrained = build_predictor(seer.hypernetwork.description)
    photos = [entry.first for entry in members]
    untrained.network.memory.fit(material.features([photos]))
    rows = [
        [what, *(f"{value:.4f}" for value in losses(seer, base, predictor.to(base.device), material, options.batches))]
        for what, predictor in (("before training", untrained), ("after", trained))
    ]
    targets = trained.output.weights.flatten(known.targets(members).values)
    rows.append(["the mean of all targets", "", f"{float((targets - targets.mean(0)).square().mean()):.4f}"])
    print(table(["", *_LOSSES], rows))
    entry = members[0]
    adapter = seer.predict([members.picture(entry.first)], entry.class_noun).adapter
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "one.safetensors"
        save_adapter(adapter, file)
        size, read = file.stat().st_size, load_adapter(file)
        print(f"{entry.key}: {read.method.name}, {read.count():,} numbers, {size:,} bytes")


@torch.no_grad()
def losses(seer: Seer, base: Base, predictor: Predictor, material: Material, batches: int) -> list[float]:
    """Return the mean of both losses over some batches, always the same ones."""
    recipe = seer.hypernetwork.description.recipe
    task = HypernetworkTask(base, predictor, material, recipe, Machine())
    try:
        found = [task.step(number, 0) for number in range(batches)]
    finally:
        task.close()
    return [fmean(float(each[name]) for each in found) for name in _LOSSES]


if __name__ == "__main__":
    main()
