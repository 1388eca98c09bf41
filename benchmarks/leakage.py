"""Whose half a subject's word attends to: pairs taught together, with and without collages and the Unmix loss.

    python -m benchmarks.leakage

Pictures of both, the first on the left, are noised and denoised once under a prompt that names the sides; and pictures
are made while the denoiser reads some of a prompt's words as if both tokens had been exchanged in it. Adapters are
kept, so that an interrupted run goes on after those that are trained.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from diffusers.models.attention_processor import Attention as AttentionLayer
from torch import Tensor, nn

from benchmarks.validation_pairs import command_line, pair_options, pairs_in_words, taught
from portraitist.adapters import Adapter, attached
from portraitist.bases import Base, load_base
from portraitist.bases.attention import cross_attentions, map_size
from portraitist.files import write_aside
from portraitist.generation import SamplingConfig, generate
from portraitist.markdown import table
from portraitist.progress import quiet_libraries
from portraitist.randomness import numpy_generator, torch_generator
from portraitist.studies.experiments.pairs.identities import Pair, draw_pairs
from portraitist.studies.experiments.pairs.judging import PairJudge
from portraitist.studies.experiments.pairs.recognisers import make_recogniser
from portraitist.studies.experiments.pairs.results import Way
from portraitist.studies.experiments.pairs.study import (
    PROMPTS,
    TOKENS,
    PairStudy,
    make_judge,
    make_pictures,
    names_of,
    recipe_of_way,
    subjects_of,
)
from portraitist.toyland.world.painting import render
from portraitist.toyland.world.pictures import sample_picture
from portraitist.training.inputs.latents import encode
from portraitist.training.multi_subject.cut_mix import resize_masks, side_masks
from portraitist.training.multi_subject.teaching import train_several
from portraitist.training.multi_subject.unmix import attention_columns, split_heads, tapped
from portraitist.training.tokens import phrase_positions

VARIANTS: dict[str, tuple[Way, dict[str, object]]] = {
    "joint": ("joint", {}),
    "cut-mix": ("cut-mix", {}),
    "cut-mix-unmix": ("cut-mix-unmix", {}),
    "cut-mix-unmix, nouns too": ("cut-mix-unmix", {"unmix_class": True}),
}
# Where the tokens of a prompt may be exchanged.
PLACES = ("tokens", "class nouns", "other words", "end and padding", "everywhere")
_PAGE = Path("docs/results/leakage.md")
_PICTURES = 8
_SEEDS = 8
# Of 1000: from nearly all noise to the picture's details.
_TIMES = (900, 700, 500, 300)


@dataclass(frozen=True)
class Attention:
    """How a word is attended to, over cross-attention layers, times and pictures.

    Attributes:
        at_home: Share of it that is in the half of the word's subject: 0.5 if it does not matter where.
        received: Share of all attention to words that this one gets.
    """

    at_home: float
    received: float


@dataclass(frozen=True)
class Found:
    """What a pair shows, taught in one way.

    Attributes:
        pair: The pair.
        token: Attention to the rare tokens.
        noun: Attention to the class nouns.
        separation: Mean separation of generated pictures, by the judge of pairs.
        exchanged: The same under prompts that name the sides, where the tokens are exchanged in some places of the
            prompt, by place; of one class only.
    """

    pair: Pair
    token: Attention
    noun: Attention
    separation: float
    exchanged: Mapping[str, float]


_COLUMNS: dict[str, tuple[str, Callable[[Found], float]]] = {
    "token at home": ("{:.1%}", lambda found: found.token.at_home),
    "noun at home": ("{:.1%}", lambda found: found.noun.at_home),
    "token received": ("{:.1%}", lambda found: found.token.received),
    "noun received": ("{:.1%}", lambda found: found.noun.received),
    "separation": ("{:.2f}", lambda found: found.separation),
}


def teach_together(study: PairStudy, base: Base, pair: Pair, variant: str, folder: Path) -> Adapter:
    """Return the adapter of a pair; trained if it is not in the folder."""
    way, settings = VARIANTS[variant]
    recipe = recipe_of_way(study.recipe(study.methods[0], base), way).replace(settings)
    path = folder / f"{pair.name}-{recipe.method}-{variant.replace(', ', '-').replace(' ', '-')}.safetensors"
    subjects = subjects_of(pair, base, folder / "photos", study.seed)
    return taught(path, partial(train_several, base, subjects, recipe))


@torch.no_grad()
def attention_to(base: Base, adapter: Adapter, pair: Pair) -> tuple[Attention, Attention]:
    """Return the attention to the rare tokens and to the class nouns in noised pictures of a pair."""
    prompt = next(prompt for prompt in PROMPTS if prompt.sides)
    names = names_of(pair)
    text = prompt.fill(*names)
    words = [phrase_positions(base.pipeline.tokenizer, text, name) for name in names]
    # The tokens of both, then their nouns, after the article.
    positions = torch.tensor([words[side][part] for part in (1, 2) for side in range(2)])
    rng = numpy_generator(0, f"pictures of {pair.name}")
    specs = [sample_picture(rng, identities=(pair.first, pair.second), style="photo") for _ in range(_PICTURES)]
    latents = encode(base, [render(spec, base.family.resolution) for spec in specs]).mean
    height, width = latents.shape[2:]
    seen: list[Tensor] = []

    def record(name: str, attn: AttentionLayer, query: Tensor, key: Tensor) -> None:
        queries, keys = split_heads(query, attn, attn.norm_q), split_heads(key, attn, attn.norm_k)
        maps = attention_columns(queries, keys, positions.expand(len(query), -1))
        halves = resize_masks(side_masks(height, width), map_size(maps.shape[1], (height, width)))
        own = halves.flatten(1).T.repeat(1, 2)
        seen.append(torch.stack([(maps * own).sum(1) / maps.sum(1), maps.mean(1)]))

    with attached(base.components, adapter):
        conditions = base.family.encode_prompts([text] * _PICTURES)
        for time in _TIMES:
            times = torch.full((_PICTURES,), time)
            noise = torch.randn(latents.shape, generator=torch_generator(0, f"noise at {time}"))
            noised = base.pipeline.scheduler.add_noise(latents, noise, times)
            with tapped(cross_attentions(base), record):
                base.family.predict(noised, times, conditions)
    # Attention can vanish altogether, and is nowhere at home then.
    at_home, received = torch.cat(seen, dim=1).unflatten(2, (2, 2)).nanmean((1, 3))
    token, noun = (Attention(float(at_home[part]), float(received[part])) for part in range(2))
    return token, noun


@contextmanager
def tokens_exchanged(base: Base, place: str) -> Iterator[None]:
    """Let the denoiser read the prompt's other wording, in which both tokens have changed places, in some places.

    Args:
        base: The base.
        place: One of `PLACES`.
    """
    encoder = base.pipeline.text_encoder
    tokens = [base.family.token_ids(token)[0] for token in TOKENS]
    end = encoder.config.eos_token_id

    def exchange(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any], output: Any) -> None:
        ids = args[0] if args else kwargs["input_ids"]
        is_token = torch.isin(ids, torch.tensor(tokens))
        is_after = (ids == end).cumsum(1) > 0
        is_noun = is_token.roll(1, 1)
        chosen = {"tokens": is_token, "class nouns": is_noun, "end and padding": is_after}
        chosen["other words"] = ~(is_token | is_noun | is_after)
        chosen["everywhere"] = torch.ones_like(is_token)
        other = torch.where(ids == tokens[0], tokens[1], torch.where(ids == tokens[1], tokens[0], ids))
        # Not by calling the module, which would come back here.
        states = encoder.forward(other).last_hidden_state
        output.last_hidden_state = torch.where(chosen[place][..., None], states, output.last_hidden_state)

    hook = encoder.register_forward_hook(exchange, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def sided_separation(base: Base, adapter: Adapter, pair: Pair, judge: PairJudge) -> float:
    """Return the mean separation of pictures whose prompts name the sides: below zero if the two are exchanged."""
    prompts = [prompt.fill(*names_of(pair)) for prompt in PROMPTS if prompt.sides]
    made = generate(
        base,
        [prompt for prompt in prompts for _ in range(_SEEDS)],
        {"both": (adapter, 1.0)},
        seeds=list(range(_SEEDS)) * len(prompts),
        config=SamplingConfig(batch_size=len(prompts) * _SEEDS),
        merged=True,
        show_progress=False,
    )
    judged = judge.judge([picture.image for picture in made], [True] * len(made))
    return fmean(one.separation for one in judged)


def look_at(study: PairStudy, base: Base, adapter: Adapter, pair: Pair, way: Way, judge: PairJudge) -> Found:
    """Return what a pair shows with its adapter."""
    exchanged = {}
    if pair.same_class:
        exchanged["nowhere"] = sided_separation(base, adapter, pair, judge)
        for place in PLACES:
            with tokens_exchanged(base, place):
                exchanged[place] = sided_separation(base, adapter, pair, judge)
    pictures = make_pictures(study, base, pair, {"both": adapter}, way)
    separation = fmean(one.separation for one in judge.judge(pictures, study.sides))
    return Found(pair, *attention_to(base, adapter, pair), separation, exchanged)


def render_page(found: dict[str, list[Found]], study: PairStudy, base: Base, command: str) -> str:
    """Return the page as Markdown."""
    names = pairs_in_words([(one.pair.name, one.pair.same_class) for one in next(iter(found.values()))])
    parts = [
        "# Whose half a subject's word attends to",
        f"Base `{base.name}` ({base.fingerprint}), `{study.methods[0]}`; pairs of validation identities: {names}."
        " *At home* is the share of the attention to a subject's word that falls into the half in which the"
        " subject is, in noised pictures of both, over all cross-attention layers: 50 % if the word does not care."
        " *Received* is the share that one such word gets of all attention to words. *Separation* is that of generated"
        " pictures, as `portraitist toyland pairs` has it. Means, and pair by pair."
        f" Written by `{command}`.",
    ]
    for title, same in (("Pairs of one class", True), ("Pairs of two classes", False)):
        lines = [
            [variant, *_cells([one for one in each if one.pair.same_class is same])] for variant, each in found.items()
        ]
        if all(len(line) > 1 for line in lines):
            parts += [f"## {title}", table(["way", *_COLUMNS], lines)]
    if any(one.exchanged for one in next(iter(found.values()))):
        parts += [
            "## Which words carry who somebody is",
            f"Pictures of the pairs of one class, {_SEEDS} of each prompt that names the sides, while the denoiser"
            " reads some places of the prompt as if both tokens had been exchanged in it. Separation falls below zero"
            " where that exchanges the two in the picture.",
            table(["way", "nowhere", *PLACES], [[variant, *_exchanged(each)] for variant, each in found.items()]),
        ]
    return "\n\n".join(parts) + "\n"


def _cells(found: Sequence[Found]) -> list[str]:
    cells = []
    for shown, value in _COLUMNS.values():
        cells += _mean_and_each([value(one) for one in found], shown)
    return cells


def _exchanged(found: Sequence[Found]) -> list[str]:
    cells = []
    for place in ("nowhere", *PLACES):
        cells += _mean_and_each([one.exchanged[place] for one in found if place in one.exchanged], "{:+.2f}")
    return cells


def _mean_and_each(values: Sequence[float], shown: str) -> list[str]:
    """Return a cell, or none if there are no values."""
    return [f"{shown.format(fmean(values))} ({', '.join(map(shown.format, values))})"] if values else []


def main() -> None:
    """Run from the command line."""
    arguments = pair_options(__doc__, "svdiff", "leakage", "photos and adapters", _PAGE).parse_args()
    quiet_libraries()
    base, recogniser = load_base("toyland"), make_recogniser("toyland-identity")
    command = command_line("leakage", arguments.folder)
    ways = tuple(dict.fromkeys(way for way, _ in VARIANTS.values()))
    study = PairStudy(arguments.pairs, (arguments.method,), ways, seeds=2, split="validation")
    strangers: dict[str, list[Tensor]] = {}
    found: dict[str, list[Found]] = {variant: [] for variant in VARIANTS}
    for pair in draw_pairs(study.pairs, study.seed, study.split):
        judge = make_judge(study, base, pair, recogniser, strangers)
        for variant, each in found.items():
            adapter = teach_together(study, base, pair, variant, arguments.folder)
            each.append(look_at(study, base, adapter, pair, VARIANTS[variant][0], judge))
            print(f"{pair.name}, {variant}:", *_cells(each[-1:]), *_exchanged(each[-1:]), flush=True)
    with write_aside(arguments.page) as temporary:
        temporary.write_text(render_page(found, study, base, command), encoding="utf-8")


if __name__ == "__main__":
    main()
