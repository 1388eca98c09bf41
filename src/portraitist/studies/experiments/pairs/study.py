"""Two subjects in one picture: how often both are there, each as itself; ways to teach them, on toyland's pairs.

Resumable: a row is written for every pair, method and way, and what is there is kept; with another judge, only the
verdicts on kept pictures are made anew. Pairs come first in the order of work, so that an unfinished study compares
everything on fewer pairs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.files import write_aside
from portraitist.generation import Region, SamplingConfig, generate
from portraitist.generation.regions import USUAL_BASE_RATIO, USUAL_START
from portraitist.progress import track
from portraitist.studies.experiments.pairs.identities import Pair, draw_pairs, photos_of
from portraitist.studies.experiments.pairs.judging import JUDGING, STRANGERS, PairJudge
from portraitist.studies.experiments.pairs.recognisers import Recogniser, make_recogniser
from portraitist.studies.experiments.pairs.results import PairResult, PairStudyFolder, Way
from portraitist.studies.grid.variants import UNTRAINED_BASE
from portraitist.studies.runs.processes import base_of_process, spread
from portraitist.toyland.judges.restoring import restore_images
from portraitist.toyland.world.identities import check_split
from portraitist.training.multi_subject.cut_mix import USUAL_PROBABILITY
from portraitist.training.multi_subject.teaching import train_several
from portraitist.training.multi_subject.unmix import USUAL_WEIGHT
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.subjects import Subject

WAYS: tuple[Way, ...] = ("joint", "cut-mix", "cut-mix-unmix", "addition", "regional")
# The base as it is, what every method starts from; a method of its own in the table.
UNTRAINED: Way = "untrained"
# Adapters trained apart are joined in two ways; they are trained once for both.
APART: tuple[Way, ...] = ("addition", "regional")
METHODS = ("svdiff", "lora", "full")
TOKENS = ("sks", "olo")
PHOTOS = 5
# Pictures sampled at once; does not change them.
_AT_ONCE = 16


@dataclass(frozen=True)
class PairPrompt:
    """A prompt for two.

    Attributes:
        text: With ``{first}`` and ``{second}``; only the last three are worded as collages are.
        scene: Where.
        sides: Whether it puts the first on the left and the second on the right.
    """

    text: str
    scene: str
    sides: bool = False

    def fill(self, first: str, second: str) -> str:
        """Return the prompt of two names, each with its article."""
        return f"a photo of {self.text.format(first=first, second=second)} {self.scene}"

    @property
    def places(self) -> tuple[str, str]:
        """Return the regions of the first and the second: who is named first stands on the left."""
        return ("left", "right") if self.text.index("{first}") < self.text.index("{second}") else ("right", "left")

    def fill_alone(self, name: str) -> str:
        """Return the prompt of a region with one of them."""
        return f"a photo of {name} {self.scene}"


PROMPTS = (
    PairPrompt("{first} next to {second}", "on the beach"),
    PairPrompt("{first} beside {second}", "in the snow"),
    PairPrompt("{first} together with {second}", "in the forest"),
    PairPrompt("{second} next to {first}", "in space"),
    PairPrompt("{second} beside {first}", "in the desert"),
    PairPrompt("{first} and {second}", "under water"),
    PairPrompt("{first} on the left and {second} on the right", "on the beach", True),
    PairPrompt("{first} on the left and {second} on the right", "in the city at night", True),
)


@dataclass(frozen=True)
class PairStudy:
    """Settings of the study.

    Attributes:
        pairs: How many pairs of identities, of one kind and of two in turn.
        methods: Names of methods.
        ways: Ways to teach two subjects.
        prompts: Prompts, at most the eight there are.
        seeds: Pictures of each prompt.
        sampling_steps: Sampling steps of a picture.
        overrides: Settings above every method's recipe, by name.
        strangers: How many of each kind the judge knows, an even number.
        seed: Seed of pairs and photos.
        split: Split of the identities.
        base_ratio: How strongly the main prompt counts inside regions.
        region_start: Fraction of the sampling after which regions count.
        references: Whether the untrained base is judged, too.
    """

    pairs: int = 10
    methods: tuple[str, ...] = METHODS
    ways: tuple[Way, ...] = WAYS
    prompts: int = len(PROMPTS)
    seeds: int = 4
    sampling_steps: int = 25
    overrides: tuple[tuple[str, Any], ...] = ()
    strangers: int = STRANGERS
    seed: int = 0
    split: str = "test"
    base_ratio: float = USUAL_BASE_RATIO
    region_start: float = USUAL_START
    references: bool = True

    def __post_init__(self) -> None:
        if min(self.pairs, self.prompts, self.seeds, self.sampling_steps) < 1 or self.prompts > len(PROMPTS):
            raise BadConfig(f"a study needs a pair, a seed, a step, and 1 to {len(PROMPTS)} prompts")
        check_split(self.split)
        if unknown := [way for way in self.ways if way not in WAYS]:
            raise BadConfig(f"no way to teach two is named {unknown[0]!r}; there are: {', '.join(WAYS)}")

    @property
    def sides(self) -> list[bool]:
        """Return for each picture whether its prompt names sides."""
        return [prompt.sides for prompt in PROMPTS[: self.prompts] for _ in range(self.seeds)]

    def recipe(self, method: str, base: Base) -> Recipe:
        """Return a method's recipe; its steps are those of one subject."""
        return load_recipe(method, base.name, base.family.name, overrides=dict(self.overrides))


def recipe_of_way(recipe: Recipe, way: Way) -> Recipe:
    """Return how a way trains: every way takes as many samples a subject, and has only the settings that make it.

    Args:
        recipe: The method's recipe, for one subject; strengths it sets itself are kept in the ways that have them.
        way: The way.
    """
    collages = way in ("cut-mix", "cut-mix-unmix")
    return recipe.replace(
        {
            "steps": recipe.steps if way in APART else len(TOKENS) * recipe.steps,
            "cut_mix": (recipe.cut_mix or USUAL_PROBABILITY) if collages else 0.0,
            "unmix_weight": (recipe.unmix_weight or USUAL_WEIGHT) if way == "cut-mix-unmix" else 0.0,
        }
    )


def run_pairs(study: PairStudy, base: Base, recogniser: Recogniser, folder: Path, workers: int = 1) -> PairStudyFolder:
    """Make the rows that are missing.

    Args:
        study: The study; each pair has a row of the untrained base, too, unless `references` is off.
        base: The base.
        recogniser: Who judges.
        folder: Where rows and pictures go.
        workers: How many pairs and methods to make at once, each in a process with base and judge of its own.

    Raises:
        BadConfig: If a recipe cannot work, or the folder holds another study.
    """
    recipes = {method: study.recipe(method, base) for method in study.methods}
    store = PairStudyFolder(folder, _facts(study, base, recogniser, recipes))
    taught = (*([UNTRAINED_BASE] if study.references else []), *study.methods)
    jobs = [(number, method) for number in range(study.pairs) for method in taught]
    wanted = [job for job in jobs if any(not store.has(*job, way) for way in _ways(study, job[1]))]
    here = partial(_make_results, study, base, recogniser, {}, store)
    alone = partial(_make_results_alone, study, base.name, str(base.device), recogniser.name, store)
    with track(len(jobs), "pairs and methods", completed=len(jobs) - len(wanted)) as progress:
        for _ in spread(here if workers == 1 else alone, wanted, workers, _job_words):
            progress.advance()
    return store


def _job_words(job: tuple[int, str]) -> str:
    number, method = job
    return f"pair {number} by {method}"


def _ways(study: PairStudy, method: str) -> Sequence[Way]:
    """Return the ways of a method, or of the base that nothing is taught."""
    return (UNTRAINED,) if method == UNTRAINED_BASE else study.ways


def _make_results(
    study: PairStudy,
    base: Base,
    recogniser: Recogniser,
    strangers: dict[str, list[Tensor]],
    store: PairStudyFolder,
    job: tuple[int, str],
) -> None:
    """Teach a pair by a method in every way that has no row yet; strangers are looked at once for all jobs."""
    number, method = job
    pair = draw_pairs(study.pairs, study.seed, study.split)[number]
    judge = make_judge(study, base, pair, recogniser, strangers)

    def keep(way: Way, pictures: Sequence[Image.Image], seconds: float) -> None:
        judged = judge.judge(pictures, study.sides)
        row = PairResult(
            pair=number,
            name=pair.name,
            same_class=pair.same_class,
            method=method,
            way=way,
            verdicts=tuple(one.verdict for one in judged),
            seconds=seconds,
            judge=judge.reliability,
            judged_by=store.judge,
            likeness=tuple(one.likeness for one in judged),
            separation=tuple(one.separation for one in judged),
        )
        store.write(row, pictures, study.seeds)

    for ways in _trained_together(_ways(study, method)):
        rows = {way: store.result(number, method, way) for way in ways if not store.has(number, method, way)}
        for way, row in rows.items():
            if row is not None:
                keep(way, store.pictures(row), row.seconds)
        if missing := [way for way, row in rows.items() if row is None]:
            for made in _teach(study, base, pair, method, missing, store.photos):
                keep(*made)


def _make_results_alone(
    study: PairStudy, base: str, device: str, judge: str, store: PairStudyFolder, job: tuple[int, str]
) -> None:
    """Do the same in a process of its own."""
    recogniser, strangers = _load_recogniser(judge, base, study.seed, study.strangers)
    _make_results(study, base_of_process(base, device), recogniser, strangers, store, job)


@lru_cache(maxsize=1)
def _load_recogniser(name: str, _base: str, _seed: int, _count: int) -> tuple[Recogniser, dict[str, list[Tensor]]]:
    """Load the recogniser of a process, once, and keep beside it how strangers look to it."""
    return make_recogniser(name), {}


def _trained_together(ways: Sequence[Way]) -> list[list[Way]]:
    """Group the ways that use the same adapters."""
    groups = [[way] for way in ways if way not in APART]
    apart = [way for way in ways if way in APART]
    return [*groups, apart] if apart else groups


def _teach(
    study: PairStudy, base: Base, pair: Pair, method: str, ways: Sequence[Way], photos: Path
) -> Iterator[tuple[Way, list[Image.Image], float]]:
    """Train what the ways share, and yield each one's pictures and its training time."""
    if method == UNTRAINED_BASE:
        yield UNTRAINED, make_pictures(study, base, pair, {}, UNTRAINED), 0.0
        return
    recipe = recipe_of_way(study.recipe(method, base), ways[0])
    subjects = subjects_of(pair, base, photos, study.seed)
    if ways[0] in APART:
        apart = {subject.token: train(base, subject, recipe) for subject in subjects}
        seconds = sum(_seconds(adapter) for adapter in apart.values())
        for way in ways:
            yield way, make_pictures(study, base, pair, apart, way), seconds
        return
    adapter = train_several(base, subjects, recipe)
    yield ways[0], make_pictures(study, base, pair, {"both": adapter}, ways[0]), _seconds(adapter)


def make_judge(
    study: PairStudy, base: Base, pair: Pair, recogniser: Recogniser, strangers: dict[str, list[Tensor]]
) -> PairJudge:
    """Make the judge of a pair; the strangers it looks at are kept for the next one's."""
    return PairJudge(
        pair,
        recogniser,
        base.family.resolution,
        study.seed,
        restore=partial(restore_images, base.pipeline.vae),
        strangers=study.strangers,
        fit=study.recipe(study.methods[0], base).cut_mix_fit,
        looked_at=strangers,
    )


def make_pictures(
    study: PairStudy, base: Base, pair: Pair, adapters: Mapping[str, Adapter], way: Way
) -> list[Image.Image]:
    """Make every prompt's pictures, prompt by prompt.

    Args:
        study: The study.
        base: The base.
        pair: Who is to be seen.
        adapters: Theirs; by the tokens of the pair where they were taught apart.
        way: The way.
    """
    scaled = {name: (adapter, 1.0) for name, adapter in adapters.items()}
    config = SamplingConfig(steps=study.sampling_steps, batch_size=_AT_ONCE)
    prompts, seeds = PROMPTS[: study.prompts], list(range(study.seeds))
    kinds = [f"a {pair.first.kind}", f"a {pair.second.kind}"]
    names = names_of(pair)
    if way != "regional":
        texts = [prompt.fill(*names) for prompt in prompts for _ in seeds]
        made = generate(
            base, texts, scaled, seeds=seeds * len(prompts), config=config, merged=True, show_progress=False
        )
        return [picture.image for picture in made]
    pictures: list[Image.Image] = []
    for prompt in prompts:
        regions = [
            Region(place, prompt.fill_alone(name), token, study.base_ratio, study.region_start)
            for place, name, token in zip(prompt.places, names, TOKENS, strict=True)
        ]
        texts = [prompt.fill(*kinds)] * study.seeds
        made = generate(base, texts, scaled, config=config, regions=regions, show_progress=False)
        pictures += [picture.image for picture in made]
    return pictures


def names_of(pair: Pair) -> list[str]:
    """Return what prompts call both: ``["a sks cat", "a olo cat"]``."""
    return [f"a {token} {who.kind}" for token, who in zip(TOKENS, (pair.first, pair.second), strict=True)]


def subjects_of(pair: Pair, base: Base, folder: Path, seed: int = 0) -> tuple[Subject, Subject]:
    """Render photos of both into a folder, and read them as a user's are."""
    size = base.family.resolution
    subjects = []
    for who, token in zip((pair.first, pair.second), TOKENS, strict=True):
        for index, photo in enumerate(photos_of(who, PHOTOS, size, seed)):
            with write_aside(folder / who.name / f"{index:02d}.png") as temporary:
                photo.save(temporary, format="PNG")
        subjects.append(Subject.from_folder(folder / who.name, who.kind, token, size))
    return subjects[0], subjects[1]


def _seconds(adapter: Adapter) -> float:
    return float(adapter.provenance.training["seconds"])


def _facts(study: PairStudy, base: Base, recogniser: Recogniser, recipes: Mapping[str, Recipe]) -> dict[str, Any]:
    """Return what two runs must share for one to go on with the other; more pairs and methods may follow."""
    return {
        "base": {"name": base.name, "fingerprint": base.fingerprint},
        "judge": {**recogniser.identity(), "strangers of a kind": study.strangers, **JUDGING},
        "prompts": [asdict(prompt) for prompt in PROMPTS[: study.prompts]],
        "pictures": {"seeds": study.seeds, "steps": study.sampling_steps},
        "seed": study.seed,
        "split": study.split,
        "regions": {"base ratio": study.base_ratio, "start": study.region_start},
        **{f"recipe of {method}": recipe.model_dump(mode="json") for method, recipe in recipes.items()},
    }
