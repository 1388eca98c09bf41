"""When regions should start, and how much of the whole picture's prompt they should hear: pairs taught apart.

    python -m benchmarks.regions

Adapters are kept, so that an interrupted run goes on after those that are trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean

from PIL import Image
from torch import Tensor

from benchmarks.validation_pairs import command_line, pair_options, pairs_in_words, taught
from portraitist.adapters import Adapter
from portraitist.bases import Base, load_base
from portraitist.files import write_aside
from portraitist.generation import SheetRow, contact_sheet
from portraitist.generation.regions import USUAL_BASE_RATIO, USUAL_START
from portraitist.markdown import table
from portraitist.photos import PAGE_SUFFIX, encode_for_page
from portraitist.progress import quiet_libraries
from portraitist.studies.experiments.pairs.identities import Pair, draw_pairs
from portraitist.studies.experiments.pairs.judging import Judgement
from portraitist.studies.experiments.pairs.recognisers import make_recogniser
from portraitist.studies.experiments.pairs.study import TOKENS, PairStudy, make_judge, make_pictures, subjects_of
from portraitist.toyland.judges.exam import kinds
from portraitist.toyland.judges.examiner import Examiner
from portraitist.toyland.judges.restoring import to_pictures
from portraitist.training.personalise import train

# Start and base ratio.
Setting = tuple[float, float]
SETTINGS: tuple[Setting, ...] = ((0, 0.2), (0, 0.5), (0, 0.8), (0.15, 0.5), (0.3, 0.2), (0.3, 0.5))
_PAGE = Path("docs/results/regions.md")
_SHOWN_PROMPTS = 6


@dataclass(frozen=True)
class Found:
    """A pair's pictures with one setting.

    Attributes:
        pair: The pair.
        pictures: Its pictures, prompt by prompt.
        judged: What the judge of pairs says of each.
        two: Share of pictures in which the examiner counts two subjects.
    """

    pair: Pair
    pictures: Sequence[Image.Image]
    judged: Sequence[Judgement]
    two: float

    @property
    def both(self) -> float:
        """Return the share of pictures with both, each as itself."""
        return fmean(one.verdict == "both" for one in self.judged)

    @property
    def likeness(self) -> float:
        """Return the mean likeness."""
        return fmean(one.likeness for one in self.judged)

    @property
    def separation(self) -> float:
        """Return the mean separation."""
        return fmean(one.separation for one in self.judged)


def teach_apart(study: PairStudy, base: Base, pair: Pair, folder: Path) -> dict[str, Adapter]:
    """Return both adapters of a pair, by token; trained if they are not in the folder."""
    recipe = study.recipe(study.methods[0], base)
    adapters = {}
    for subject in subjects_of(pair, base, folder / "photos", study.seed):
        path = folder / f"{pair.name}-{recipe.method}-{subject.token}.safetensors"
        adapters[subject.token] = taught(path, partial(train, base, subject, recipe))
    return adapters


def render_page(found: dict[Setting, list[Found]], study: PairStudy, base: Base, command: str, picture: str) -> str:
    """Return the page as Markdown."""
    first = next(iter(found.values()))
    names = pairs_in_words([(one.pair.name, one.pair.same_class) for one in first])
    parts = [
        "# When regions should start, and what they should hear",
        f"Base `{base.name}` ({base.fingerprint}), `{study.methods[0]}`; pairs of validation identities, taught apart:"
        f" {names}; {len(first[0].judged)} pictures of each. *Two subjects* is the share of pictures in which the"
        " examiner counts two; the rest is what the judge of `portraitist toyland pairs` says. Usual are a start of"
        f" {USUAL_START:g} and a base ratio of {USUAL_BASE_RATIO:g}. Written by `{command}`.",
        table(
            ["start", "base ratio", "two subjects", "both", "likeness", "separation", "separation, pair by pair"],
            [_line(setting, each) for setting, each in found.items()],
        ),
        f"![Pictures of every pair with every setting]({picture})",
    ]
    return "\n\n".join(parts) + "\n"


def draw_grid(found: dict[Setting, list[Found]], seeds: int) -> Image.Image:
    """Draw a row of pictures, one a prompt, for each pair and ratio."""
    rows = [
        SheetRow(f"start {start:g}, base ratio {ratio:g}", each[number].pictures[::seeds][:_SHOWN_PROMPTS])
        for number in range(len(next(iter(found.values()))))
        for (start, ratio), each in found.items()
    ]
    return contact_sheet(rows, title="Regions that start later and hear more of the whole picture's prompt", tile=96)


def _line(setting: Setting, found: Sequence[Found]) -> list[str]:
    two, both, likeness, separation = (
        fmean(getattr(one, name) for one in found) for name in ("two", "both", "likeness", "separation")
    )
    each = ", ".join(f"{one.separation:.2f}" for one in found)
    start, ratio = setting
    return [f"{start:g}", f"{ratio:g}", f"{two:.0%}", f"{both:.0%}", f"{likeness:.2f}", f"{separation:.2f}", each]


def main() -> None:
    """Run from the command line."""
    parser = pair_options(__doc__, "lora", "regions", "photos and adapters", _PAGE)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    quiet_libraries()
    base, recogniser, examiner = load_base("toyland"), make_recogniser("toyland-identity"), Examiner.load()
    command = command_line("regions", arguments.folder)
    study = PairStudy(arguments.pairs, (arguments.method,), ("regional",), seeds=arguments.seeds, split="validation")
    strangers: dict[str, list[Tensor]] = {}
    found: dict[Setting, list[Found]] = {setting: [] for setting in SETTINGS}
    for pair in draw_pairs(study.pairs, study.seed, study.split):
        adapters = teach_apart(study, base, pair, arguments.folder)
        judge = make_judge(study, base, pair, recogniser, strangers)
        for (start, ratio), each in found.items():
            asked = replace(study, region_start=start, base_ratio=ratio)
            pictures = make_pictures(asked, base, pair, adapters, "regional")
            readings = examiner.read(to_pictures(pictures))
            two = fmean(len(kinds(reading)) == len(TOKENS) for reading in readings)
            each.append(Found(pair, pictures, judge.judge(pictures, study.sides), two))
            print(pair.name, *_line((start, ratio), each[-1:]), flush=True)
    picture = arguments.page.with_suffix(PAGE_SUFFIX)
    with write_aside(picture) as temporary:
        temporary.write_bytes(encode_for_page(draw_grid(found, study.seeds)))
    with write_aside(arguments.page) as temporary:
        temporary.write_text(render_page(found, study, base, command, picture.name), encoding="utf-8")


if __name__ == "__main__":
    main()
