"""How strong the Unmix loss should be: pairs of validation identities, taught with collages at several weights.

    python -m benchmarks.unmix_weight --workers 2

An interrupted run goes on where it was.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from portraitist.bases import Base, load_base
from portraitist.files import write_aside
from portraitist.markdown import table
from portraitist.progress import quiet_libraries
from portraitist.studies.pairs.judging import VERDICTS
from portraitist.studies.pairs.recognisers import Recogniser, make_recogniser
from portraitist.studies.pairs.rows import Row
from portraitist.studies.pairs.study import PairStudy, carry_out

WEIGHTS = (0.0, 0.01, 0.1, 1.0, 10.0)
_PAGE = Path("docs/results/unmix-weight.md")


def rows_of_weight(
    weight: float, pairs: int, method: str, base: Base, judge: Recogniser, folder: Path, workers: int
) -> list[Row]:
    """Teach and judge every pair with a weight; at 0 there are collages without the loss."""
    study = PairStudy(
        pairs=pairs,
        methods=(method,),
        ways=("cut-mix-unmix" if weight else "cut-mix",),
        overrides=(("unmix_weight", weight),) if weight else (),
        split="validation",
        references=False,
    )
    return carry_out(study, base, judge, folder / f"{weight:g}", workers).rows()


def render_page(found: dict[float, list[Row]], method: str, base: Base, command: str) -> str:
    """Return the page as Markdown."""
    rows = next(iter(found.values()))
    names = ", ".join(f"{row.name} ({'one class' if row.same_class else 'two classes'})" for row in rows)
    parts = [
        "# How strong the Unmix loss should be",
        f"Base `{base.name}` ({base.fingerprint}), `{method}`; pairs of validation identities: {names};"
        f" {len(rows[0].verdicts)} pictures of each, judged as by `portraitist toyland pairs`. Weight 0 is collages"
        f" without the loss. Written by `{command}`.",
        table(
            ["weight", "both, each as itself", "pair by pair", *VERDICTS[1:]],
            [_line(weight, rows) for weight, rows in found.items()],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _line(weight: float, rows: Sequence[Row]) -> list[str]:
    verdicts = [verdict for row in rows for verdict in row.verdicts]
    shares = [verdicts.count(verdict) / len(verdicts) for verdict in VERDICTS]
    each = ", ".join(f"{row.share:.0%}" for row in rows)
    return [f"{weight:g}", f"{shares[0]:.0%}", each, *(f"{share:.0%}" for share in shares[1:])]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", type=float, default=WEIGHTS)
    parser.add_argument("--method", default="svdiff")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("unmix-weight"), help="where rows and pictures go")
    parser.add_argument("--page", type=Path, default=_PAGE)
    arguments = parser.parse_args()
    quiet_libraries()
    base, judge = load_base("toyland"), make_recogniser("toyland-identity")
    given = [word for word in sys.argv[1:] if word != str(arguments.folder) and word != "--folder"]
    command = shlex.join(["python", "-m", "benchmarks.unmix_weight", *given])
    found: dict[float, list[Row]] = {}
    for weight in arguments.weights:
        found[weight] = rows_of_weight(
            weight, arguments.pairs, arguments.method, base, judge, arguments.folder, arguments.workers
        )
        print(f"weight {weight:g}: {_line(weight, found[weight])[1]}", flush=True)
        with write_aside(arguments.page) as temporary:
            temporary.write_text(render_page(found, arguments.method, base, command), encoding="utf-8")


if __name__ == "__main__":
    main()
