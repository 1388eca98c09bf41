"""``portraitist study``: a grid of runs over methods, settings, subjects and seeds, and its report."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portraitist.cli.options import DeviceOption
from portraitist.cli.reporting import fact, say, warn
from portraitist.errors import BadConfig
from portraitist.requests.devices import choose_device

if TYPE_CHECKING:
    from portraitist.studies.grid.study import Study
    from portraitist.studies.runs.engine import Prepared

# The report is written anew during a study when the last one is older than so many seconds.
_REPORT_SECONDS = 120.0


def study(
    study: Annotated[
        str | None, typer.Argument(help="A YAML file, or a built-in study by name; without it, those are listed.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder of results and report; an interrupted study continues from it."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Run a short version of the study, for a first impression.")
    ] = False,
    executor: Annotated[str, typer.Option(help="Where to run: local (this machine) or ray (a Ray cluster).")] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="Runs in parallel; by default one per core.")] = None,
    base: Annotated[str | None, typer.Option(help="A base to use instead of the study's.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Repeat the runs that failed.")] = False,
    runs_from: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Reuse finished runs from another folder of this study, or from its runs.csv."),
    ] = None,
    only_report: Annotated[bool, typer.Option("--only-report", help="Run nothing; only rewrite the report.")] = False,
    page: Annotated[
        Path | None,
        typer.Option(help="Also write the report as Markdown here, with its figures and runs beside it."),
    ] = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="Also write the runs as Parquet.")] = False,
    folders: Annotated[
        list[str] | None,
        typer.Option("--folder", metavar="NAME=FOLDER", help="A folder that some of the study's arms need."),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Compare methods and settings on several subjects, and report which is best."""
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    if study is None:
        _list()
        return
    from portraitist.files import require_writable
    from portraitist.locks import held
    from portraitist.studies.report.writing import write_report
    from portraitist.studies.runs.engine import default_workers, prepare, run_study, take_over
    from portraitist.studies.runs.executors import EXECUTORS
    from portraitist.studies.runs.files import find_runs
    from portraitist.workers import find_executor

    find_executor(executor, EXECUTORS)
    chosen_device = choose_device(device)
    wanted = _supplied(_wanted(study, quick, base), folders or [])
    folder = output or Path(f"{Path(study).stem}{'-quick' if quick else ''}-study")
    if only_report and not folder.exists() and not runs_from:
        raise BadConfig(
            f"{folder} does not exist, so there is nothing to report; run the study first, or name it with -o"
        )
    if page is not None:
        require_writable(page.parent)
    sources = [find_runs(source) for source in runs_from or []]
    with held(folder, "a study", instead="choose another folder with -o"):
        prepared = prepare(wanted, folder)
        for source in sources:
            fact("taken over", f"{take_over(prepared, source)} runs from {source}")
        count = workers or default_workers(chosen_device)
        _show_plan(prepared, count, retry_failed)
        written = time.monotonic()

        def refresh() -> None:
            nonlocal written
            if time.monotonic() - written > _REPORT_SECONDS:
                write_report(prepared)
                written = time.monotonic()

        try:
            if not only_report:
                run_study(prepared, executor, count, chosen_device, retry_failed, refresh)
        except KeyboardInterrupt:
            warn("stopped; repeat the command to continue")
        _show_result(prepared, write_report(prepared, parquet, page))


def _list() -> None:
    from portraitist.studies.grid.study import list_studies, load_study

    for name in list_studies():
        fact(name, load_study(name).title)


def _wanted(name: str, quick: bool, base: str | None) -> "Study":
    """Return the study that is asked for."""
    from portraitist.studies.grid.study import load_study

    loaded = load_study(name)
    if base is not None:
        loaded = loaded.model_copy(update={"base": base})
    return loaded.shrunk() if quick else loaded


def _supplied(study: "Study", folders: list[str]) -> "Study":
    """Return the study with its folders, and say which arms must do without and are left out."""
    from portraitist.studies.grid.folders import supply

    pairs = [text.partition("=") for text in folders]
    if wrong := next((name for name, _, path in pairs if not name or not path), None):
        raise BadConfig(f"--folder takes NAME=FOLDER, such as networks=nets, not {wrong!r}")
    supplied = supply(study, {name: Path(path) for name, _, path in pairs})
    if supplied.left_out:
        warn(f"left out, as their folders are missing: {', '.join(supplied.left_out)}; name them with --folder")
    return supplied.study


def _show_plan(prepared: "Prepared", workers: int, retry_failed: bool) -> None:
    wanted = prepared.study
    specs, missing = prepared.specs, prepared.missing(retry_failed)
    fact("study", wanted.title)
    fact("base", wanted.base)
    fact("grids", ", ".join(f"{grid.name} ({', '.join(grid.methods)})" for grid in wanted.grids))
    failed = 0 if retry_failed else prepared.failed
    kept = f", {len(specs) - len(missing)} of them in the folder already" if len(missing) < len(specs) else ""
    fact("runs", f"{len(specs)} on {len({spec.subject for spec in specs})} subjects{kept}, {workers} at once")
    if failed:
        warn(f"{failed} of them failed; --retry-failed repeats them")


def _show_result(prepared: "Prepared", files: list[Path]) -> None:
    from portraitist.studies.report.analysis import analyse
    from portraitist.studies.report.findings import answer, caveats

    result = analyse(prepared)
    first = next((grid for grid in result.grids if grid.finished), None)
    say()
    for line in [*answer(result), *caveats(result, first)]:
        say(line)
    say()
    fact("report", files[0].resolve().as_uri())
    fact("files", ", ".join(str(file) for file in files[1:]))
