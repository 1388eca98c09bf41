"""What benchmarks on pairs of validation identities share: options, the command they note, kept adapters, words."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from portraitist.adapters import Adapter
from portraitist.adapters.files import load_adapter
from portraitist.training.outputs import is_interrupted


def pair_options(doc: str | None, method: str, folder: str, kept: str, page: Path) -> argparse.ArgumentParser:
    """Return a parser of the options they all have.

    Args:
        doc: The benchmark's own description.
        method: Usual method.
        folder: Usual folder, for what an interrupted run goes on from.
        kept: What goes into it.
        page: Usual page.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default=method)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=Path(folder), help=f"where {kept} go")
    parser.add_argument("--page", type=Path, default=page)
    return parser


def command_line(benchmark: str, folder: Path) -> str:
    """Return the command that is running, without the folder, which changes nothing."""
    given = [word for word in sys.argv[1:] if word != str(folder) and word != "--folder"]
    return shlex.join(["python", "-m", f"benchmarks.{benchmark}", *given])


def taught(path: Path, teach: Callable[..., Adapter]) -> Adapter:
    """Return the adapter of a file; if it is not there, it is trained, on from where that was interrupted.

    Args:
        path: The file.
        teach: Trains it; takes `output` and `resume` as training does.
    """
    return load_adapter(path) if path.is_file() else teach(output=path, resume=is_interrupted(path))


def pairs_in_words(pairs: Sequence[tuple[str, bool]]) -> str:
    """Return names of pairs, and whether they are of one class: ``cat-1+cat-2 (one class), ...``."""
    return ", ".join(f"{name} ({'one class' if same else 'two classes'})" for name, same in pairs)
