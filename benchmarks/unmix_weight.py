"""How strong the Unmix loss should be: pairs of validation identities, taught with collages at several weights.

    python -m benchmarks.unmix_weight --workers 2

An interrupted run goes on where it was.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.validation_pairs import command_line, pair_options, pairs_in_words
from portraitist.bases import Base, load_base
from portraitist.files import write_aside
from portraitist.markdown import table
from portraitist.progress import quiet_libraries
from portraitist.studies.experiments.pairs.judging import VERDICTS
from portraitist.studies.experiments.pairs.recognisers import Recogniser, make_recogniser
from portraitist.studies.experiments.pairs.results import PairResult
from portraitist.studies.experiments.pairs.study import PairStudy, run_pairs

WEIGHTS = (0.0, 0.01, 0.1, 1.0, 10.0)
_PAGE = Path("docs/results/unmix-weight.md")


def rows_of_weight(
    weight: float, pairs: int, method: str, base: Base, judge: Recogniser, folder: Path, workers: int
) -> list[PairResult]:
    """Teach and judge every pair with a weight; at 0 there are collages without the loss."""
    study = PairStudy(
        pairs=pairs,
        methods=(method,),
        ways=("cut-mix-unmix" if weight else "cut-mix",),
        overrides=(("unmix_weight", weight),) if weight else (),
        split="validation",
        references=False,
    )
    return run_pairs(study, base, judge, folder / f"{weight:g}", workers).results()


def render_page(found: dict[float, list[PairResult]], method: str, base: Base, command: str) -> str:
    """Return the page as Markdown."""
    rows = next(iter(found.values()))
    names = pairs_in_words([(row.name, row.same_class) for row in rows])
    parts = [
        "# How strong the Unmix loss should be",
        f"Base `{base.name}` ({base.fingerprint}), `{method}`; pairs of validation identities: {names};"
        f" {len(rows[0].verdicts)} pictures of each, judged as by `portraitist toyland pairs`. Weight 0 is collages"
        f" without the loss. Written by `{command}`.",
        table(
            ["weight", "separation", "pair by pair", "likeness", "both, each as itself", *VERDICTS[1:]],
            [_line(weight, rows) for weight, rows in found.items()],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _line(weight: float, rows: Sequence[PairResult]) -> list[str]:
    verdicts = [verdict for row in rows for verdict in row.verdicts]
    shares = [verdicts.count(verdict) / len(verdicts) for verdict in VERDICTS]
    separations = [fmean(row.separation) for row in rows]
    each = ", ".join(f"{separation:.2f}" for separation in separations)
    likeness = fmean(fmean(row.likeness) for row in rows)
    grades = [f"{fmean(separations):.3f}", each, f"{likeness:.3f}"]
    return [f"{weight:g}", *grades, *(f"{share:.0%}" for share in shares)]


def main() -> None:
    """Run from the command line."""
    parser = pair_options(__doc__, "svdiff", "unmix-weight", "rows and pictures", _PAGE)
    parser.add_argument("--weights", nargs="+", type=float, default=WEIGHTS)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    quiet_libraries()
    base, judge = load_base("toyland"), make_recogniser("toyland-identity")
    command = command_line("unmix_weight", arguments.folder)
    found: dict[float, list[PairResult]] = {}
    for weight in arguments.weights:
        found[weight] = rows_of_weight(
            weight, arguments.pairs, arguments.method, base, judge, arguments.folder, arguments.workers
        )
        print(f"weight {weight:g}: separation {_line(weight, found[weight])[1]}", flush=True)
        with write_aside(arguments.page) as temporary:
            temporary.write_text(render_page(found, arguments.method, base, command), encoding="utf-8")


if __name__ == "__main__":
    main()
