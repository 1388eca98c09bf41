"""What an identity of a set costs: photos, latents and features, and targets alone and in banks.

One thread; seconds of the processor, which others on the machine lengthen less than those of the clock.

    python -m benchmarks.identities
"""

import argparse
import shlex
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import environment, time_once
from benchmarks.results import write_results
from portraitist.hypernetworks.identities.card import PAPERS_COUNT
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.identities.making import make_set
from portraitist.hypernetworks.identities.targets import BankWork, target_recipe, train_bank
from portraitist.markdown import table
from portraitist.progress import console, quiet_libraries
from portraitist.requests.identities import IdentitiesRequest
from portraitist.requests.jobs.identities import IdentitiesJob
from portraitist.units import in_time

BANKS, BATCHES, METHOD = (1, 8, 16), (4, 1), "lidb"
_MORE_STEPS = 5


def measure(folder: Path) -> dict[str, Any]:
    """Make a set without targets, then time steps of its targets."""
    count = max(BANKS)
    job = IdentitiesJob(IdentitiesRequest(source="toyland:all", output=folder, count=count))
    job.source.identity(0)  # the artwork is read once
    _, seconds = time_once(partial(make_set, folder, job.settings, job.source, job.base, job.encoders))
    known = IdentitySet.open(folder)
    train_bank(_work(job, known, 1, 1, 1), job.base)  # the auxiliary bases are made once
    steps = target_recipe(job.base, METHOD, None, {}, 0).steps
    targets = [
        {"batch": batch, "bank": bank, "seconds": _target_seconds(job, known, bank, batch, steps)}
        for batch in BATCHES
        for bank in BANKS
    ]
    return {"stages": seconds / count, "photos": job.settings.photos, "steps": steps, "targets": targets}


def _target_seconds(job: IdentitiesJob, known: IdentitySet, bank: int, batch: int, steps: int) -> float:
    """Return what a target costs, from runs of one step and of some more: the quicker of two each."""
    short, long = (
        min(time_once(partial(train_bank, _work(job, known, bank, batch, taken), job.base))[1] for _ in range(2))
        for taken in (1, 1 + _MORE_STEPS)
    )
    return (short + (steps - 1) * (long - short) / _MORE_STEPS) / bank


def _work(job: IdentitiesJob, known: IdentitySet, bank: int, batch: int, steps: int) -> BankWork:
    base, encoder = job.base, known.settings.encoders[0].name
    entries = known[:bank]
    latents = [known.latents(entry.numbers) for entry in entries]
    return BankWork(
        number=0,
        base=base.name,
        fingerprint=base.fingerprint,
        precision=base.precision,
        resolution=base.family.resolution,
        device=str(base.device),
        recipe=target_recipe(base, METHOD, steps, {"batch_size": batch}, 0).model_dump(mode="json"),
        token=known.settings.token,
        keys=tuple(entry.key for entry in entries),
        class_nouns=tuple(entry.class_noun for entry in entries),
        prompts=tuple(entry.prompt for entry in entries),
        latents=tuple(
            replace(each, prompts=(entry.prompt,) * len(each)) for each, entry in zip(latents, entries, strict=True)
        ),
        encoder=encoder,
        features=tuple(known.features(encoder, entry.numbers) for entry in entries),
    )


def page(found: dict[str, Any]) -> str:
    """Return the page."""
    alone = {row["batch"]: row["seconds"] for row in found["targets"] if row["bank"] == 1}
    rows = [
        [
            str(row["batch"]),
            str(row["bank"]),
            f"{row['seconds']:.1f}",
            f"{alone[row['batch']] / row['seconds']:.1f}",
            in_time(PAPERS_COUNT * row["seconds"]),
        ]
        for row in found["targets"]
    ]
    heads = ["photos a step", "bank", "seconds an identity", "times as fast as alone", f"{PAPERS_COUNT:,} identities"]
    return f"""# What an identity of a set costs

On {found["machine"]}, one thread, seconds of the processor (`{found["command"]}`), base `toyland`.

{found["photos"]} photos with their latents and the features of one encoder: {found["stages"]:.2f} s an identity,
{3600 / found["stages"]:,.0f} an hour; {PAPERS_COUNT:,} would take {in_time(PAPERS_COUNT * found["stages"])}.

A target of `{METHOD}`, {found["steps"]} steps, judged before and after, and a picture drawn with it:

{table(heads, rows)}
"""


def main() -> None:
    """Run the benchmark from the command line."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    quiet_libraries()
    console.quiet = True
    command = shlex.join(["python", "-m", "benchmarks.identities", *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as folder:
        found = {"command": command, **environment(), **measure(Path(folder) / "set")}
    write_results("identities", found, {"identities.md": page(found)})
    print(page(found))


if __name__ == "__main__":
    main()
