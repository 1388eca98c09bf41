"""The factor A of LoRA targets: random, trained with each target, or learned by several identities before.

    portraitist identities toyland:people -o apart --count 48 --photos 12
    portraitist identities toyland:people -o alike --count 48 --photos 12 --alike 12
    python -m benchmarks.target_factors apart alike

The first 32 identities of each set learn the factor, and their LoRAs say the principal components; the LoRAs of the
other 16 are judged, by pictures too: as they are, and squeezed to as many numbers as 32 LoRAs have directions. Likeness
is to the photos that they learnt from, by the encoder that the set has features of.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.predictions import SCENES, Judge, mean_with_error
from portraitist.adapters import Adapter, attached
from portraitist.adapters.banks import stack, unstack
from portraitist.bases import Base, load_base
from portraitist.evaluation.encoders import Encoder, load_encoder
from portraitist.hypernetworks.identities.entry import Entry
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.identities.shared_factor import learn_factor
from portraitist.hypernetworks.identities.targets import FACTOR_A, TargetTask, start_bank, target_recipe
from portraitist.markdown import table
from portraitist.progress import quiet_libraries
from portraitist.training.fitting import loop_config
from portraitist.training.inputs.latents import Latents
from portraitist.training.loop.loop import Loop
from portraitist.training.recipes import Recipe

_TEACHERS, _ASKED, _BANK = 32, 16, 16
_SAMPLING_STEPS = 12


@dataclass(frozen=True)
class Bench:
    """A set, and how LoRAs of its identities are trained and judged."""

    base: Base
    known: IdentitySet
    encoder: Encoder
    recipe: Recipe

    def lessons(self, entries: Sequence[Entry]) -> list[Latents]:
        """Return the photos that are learnt from, each with its own prompt."""
        return [self.known.latents(entry.numbers) for entry in entries]

    def train(self, entries: Sequence[Entry], factor: Mapping[str, Tensor], frozen: bool) -> list[Adapter]:
        """Return a LoRA for each."""
        trained: list[Adapter] = []
        for start in range(0, len(entries), _BANK):
            lessons = self.lessons(entries[start : start + _BANK])
            bank = start_bank(self.base, self.recipe, len(lessons), factor)
            with attached(self.base.components, bank):
                task = TargetTask(self.base, bank, self.recipe, lessons, frozen)
                loop = Loop(task, loop_config(self.recipe, self.base), description="LoRAs")
                loop.run()
                loop.keep()
            trained += unstack(bank)
        return trained

    def likeness(self, entries: Sequence[Entry], adapters: Sequence[Adapter]) -> str:
        """Return how like their photos pictures are, with the standard error."""
        features = [self.known.features(self.encoder.name, entry.numbers) for entry in entries]
        judge = Judge(self.base, entries, self.encoder, features, _SAMPLING_STEPS)
        with attached(self.base.components, stack(adapters)) as attachment:
            found = judge.likeness(attachment, [[f"{entry.prompt} {scene}" for scene in SCENES] for entry in entries])
        return mean_with_error(found)


def measure(bench: Bench, learning_steps: int) -> str:
    """Return a table for a set."""
    members = list(bench.known)
    teachers, asked = members[:_TEACHERS], members[_TEACHERS : _TEACHERS + _ASKED]
    learned = learn_factor(bench.base, bench.recipe, bench.lessons(teachers), learning_steps)
    ways = {
        "random, trained with each LoRA": ({}, False),
        "random, as it started": ({}, True),
        "learned before, as it then was": (learned, True),
    }
    rows = []
    for way, (factor, frozen) in ways.items():
        own = bench.train(asked, factor, frozen)
        row = [way, bench.likeness(asked, own), "", ""]
        if frozen:
            squeezed, cosine = squeeze(bench.train(teachers, factor, frozen), own)
            row[2:] = [f"{cosine:.2f}", bench.likeness(asked, squeezed)]
        rows.append(row)
    return table(["factor A", "likeness", "cosine, squeezed", "likeness, squeezed"], rows)


@torch.no_grad()
def squeeze(known: Sequence[Adapter], own: Sequence[Adapter]) -> tuple[list[Adapter], float]:
    """Return LoRAs of one A squeezed into the space that known ones span, and their cosine to what they were."""
    centre = torch.stack([_flat(each) for each in known]).mean(0)
    *_, directions = torch.linalg.svd(torch.stack([_flat(each) for each in known]) - centre, full_matrices=False)
    flat = torch.stack([_flat(each) for each in own])
    restored = (flat - centre) @ directions[:-1].T @ directions[:-1] + centre
    cosine = float(F.cosine_similarity(restored, flat).mean())
    return [_with(adapter, numbers) for adapter, numbers in zip(own, restored, strict=True)], cosine


def _flat(adapter: Adapter) -> Tensor:
    return torch.cat(
        [value.flatten() for params in adapter.values.values() for name, value in params.items() if name != FACTOR_A]
    ).detach()


def _with(adapter: Adapter, numbers: Tensor) -> Adapter:
    """Return an adapter with other numbers in the place of B."""
    rest, values = numbers, {}
    for layer, params in adapter.values.items():
        (name, value), *_ = [(name, value) for name, value in params.items() if name != FACTOR_A]
        values[layer] = {FACTOR_A: params[FACTOR_A].detach(), name: rest[: value.numel()].view_as(value)}
        rest = rest[value.numel() :]
    return replace(adapter, values=values)


def main() -> None:
    """Print a table a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", help="sets of at least 48 identities, with the features of an encoder")
    parser.add_argument("--steps", type=int, default=30, help="of a LoRA")
    parser.add_argument("--learning-steps", type=int, default=100, help="of the factor")
    options = parser.parse_args()
    quiet_libraries()
    settings = {"layers": "attention", "method_config": {"rank": 4}, "batch_size": 2, "learning_rate": 6e-3}
    for place in options.sets:
        known = IdentitySet.open(place)
        base, encoder = load_base(known.settings.base), load_encoder(known.settings.encoders[0].name, "cpu")
        recipe = target_recipe(base, "lora", options.steps, {**settings, "warmup_steps": 5}, 0)
        print(f"\n{place}\n\n{measure(Bench(base, known, encoder, recipe), options.learning_steps)}", flush=True)


if __name__ == "__main__":
    main()
