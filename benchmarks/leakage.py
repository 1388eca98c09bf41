"""Whose half a subject's word attends to: pairs taught together, with and without collages and the Unmix loss.

    python -m benchmarks.leakage

Pictures of both, the first on the left, are noised and denoised once under a prompt that names the sides. Adapters are
kept, so that an interrupted run goes on after those that are trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor

from benchmarks.validation_pairs import command_line, pair_options, pairs_in_words
from portraitist.adapters import Adapter, attached
from portraitist.adapters.files import load_adapter
from portraitist.bases import Base, load_base
from portraitist.bases.attention import cross_attentions, map_size
from portraitist.files import write_aside
from portraitist.markdown import table
from portraitist.progress import quiet_libraries
from portraitist.randomness import numpy_generator, torch_generator
from portraitist.studies.pairs.identities import Pair, draw_pairs
from portraitist.studies.pairs.judging import Judgement
from portraitist.studies.pairs.recognisers import make_recogniser
from portraitist.studies.pairs.rows import Way
from portraitist.studies.pairs.study import (
    PROMPTS,
    TOKENS,
    PairStudy,
    make_judge,
    make_pictures,
    recipe_of_way,
    subjects_of,
)
from portraitist.toyland.world.pictures import render, sample_picture
from portraitist.training.inputs.latents import encode
from portraitist.training.multi_subject.cut_mix import resize_masks, side_masks
from portraitist.training.multi_subject.teaching import train_several
from portraitist.training.multi_subject.unmix import attention_columns, split_heads, tapped
from portraitist.training.tokens import phrase_positions

WAYS: tuple[Way, ...] = ("joint", "cut-mix", "cut-mix-unmix")
_PAGE = Path("docs/results/leakage.md")
_PICTURES = 8
# Of 1000: from nearly all noise to the picture's details.
_TIMES = (900, 700, 500, 300)


@dataclass(frozen=True)
class Found:
    """What a pair shows, taught in one way.

    Attributes:
        pair: The pair.
        at_home: Share of the attention to a subject's word that is in its own half: 0.5 if it does not matter where.
        judged: What the judge of pairs says of generated pictures.
    """

    pair: Pair
    at_home: float
    judged: Sequence[Judgement]

    @property
    def separation(self) -> float:
        """Return the mean separation of generated pictures."""
        return fmean(one.separation for one in self.judged)


def teach_together(study: PairStudy, base: Base, pair: Pair, way: Way, folder: Path) -> Adapter:
    """Return the adapter of a pair; trained if it is not in the folder."""
    recipe = recipe_of_way(study.recipe(study.methods[0], base), way)
    path = folder / f"{pair.name}-{recipe.method}-{way}.safetensors"
    if path.is_file():
        return load_adapter(path)
    return train_several(base, subjects_of(pair, base, folder / "photos", study.seed), recipe, output=path)


@torch.no_grad()
def attention_at_home(base: Base, adapter: Adapter, pair: Pair) -> float:
    """Return the share of attention to both words that is in their own halves, over layers, times and pictures."""
    prompt = next(prompt for prompt in PROMPTS if prompt.sides)
    text = prompt.fill(*(f"a {token} {who.kind}" for token, who in zip(TOKENS, (pair.first, pair.second), strict=True)))
    positions = torch.tensor([phrase_positions(base.pipeline.tokenizer, text, token) for token in TOKENS]).flatten()
    rng = numpy_generator(0, f"pictures of {pair.name}")
    specs = [sample_picture(rng, identities=(pair.first, pair.second), style="photo") for _ in range(_PICTURES)]
    latents = encode(base, [render(spec, base.family.resolution) for spec in specs]).mean
    height, width = latents.shape[2:]
    shares: list[float] = []

    def record(name: str, attn: Attention, query: Tensor, key: Tensor) -> None:
        queries, keys = split_heads(query, attn, attn.norm_q), split_heads(key, attn, attn.norm_k)
        maps = attention_columns(queries, keys, positions.expand(len(query), -1))
        halves = resize_masks(side_masks(height, width), map_size(maps.shape[1], (height, width)))
        own = (maps * halves.flatten(1).T).sum(1) / maps.sum(1)
        shares.append(float(own.mean()))

    with attached(base.components, adapter):
        conditions = base.family.encode_prompts([text] * _PICTURES)
        for time in _TIMES:
            times = torch.full((_PICTURES,), time)
            noise = torch.randn(latents.shape, generator=torch_generator(0, f"noise at {time}"))
            noised = base.pipeline.scheduler.add_noise(latents, noise, times)
            with tapped(cross_attentions(base), record):
                base.family.predict(noised, times, conditions)
    return fmean(shares)


def render_page(found: dict[Way, list[Found]], study: PairStudy, base: Base, command: str) -> str:
    """Return the page as Markdown."""
    names = pairs_in_words([(one.pair.name, one.pair.same_class) for one in next(iter(found.values()))])
    columns = ["same class", "two classes"]
    parts = [
        "# Whose half a subject's word attends to",
        f"Base `{base.name}` ({base.fingerprint}), `{study.methods[0]}`; pairs of validation identities: {names}."
        " *Attention at home* is the share of the attention to a subject's word that falls into the half in which the"
        " subject is, in noised pictures of both, over all cross-attention layers: 50 % if the word does not care."
        " *Separation* is that of generated pictures, as `portraitist toyland pairs` has it. Means, and pair by pair."
        f" Written by `{command}`.",
        table(
            ["way", *(f"attention at home, {each}" for each in columns), *(f"separation, {each}" for each in columns)],
            [
                [way, *_cells(each, "at_home", "{:.1%}"), *_cells(each, "separation", "{:.2f}")]
                for way, each in found.items()
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _cells(found: Sequence[Found], name: str, shown: str) -> list[str]:
    cells = []
    for same in (True, False):
        values = [getattr(one, name) for one in found if one.pair.same_class is same]
        each = ", ".join(shown.format(value) for value in values)
        cells.append(f"{shown.format(fmean(values))} ({each})" if values else "")
    return cells


def main() -> None:
    """Run from the command line."""
    arguments = pair_options(__doc__, "svdiff", "leakage", "photos and adapters", _PAGE).parse_args()
    quiet_libraries()
    base, recogniser = load_base("toyland"), make_recogniser("toyland-identity")
    command = command_line("leakage", arguments.folder)
    study = PairStudy(arguments.pairs, (arguments.method,), WAYS, seeds=2, split="validation")
    strangers: dict[str, list[Tensor]] = {}
    found: dict[Way, list[Found]] = {way: [] for way in WAYS}
    for pair in draw_pairs(study.pairs, study.seed, study.split):
        judge = make_judge(study, base, pair, recogniser, strangers)
        for way, each in found.items():
            adapter = teach_together(study, base, pair, way, arguments.folder)
            pictures = make_pictures(study, base, pair, {"both": adapter}, way)
            each.append(Found(pair, attention_at_home(base, adapter, pair), judge.judge(pictures, study.sides)))
            print(f"{pair.name}, {way}: {each[-1].at_home:.1%}, {each[-1].separation:.2f}", flush=True)
    with write_aside(arguments.page) as temporary:
        temporary.write_text(render_page(found, study, base, command), encoding="utf-8")


if __name__ == "__main__":
    main()
