"""``portraitist evaluate``: how well an adapter, or pictures, show their subject and follow their prompts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portraitist.cli.options import DeviceOption, OtherBaseOption
from portraitist.cli.reporting import fact, say, warn
from portraitist.errors import BadConfig
from portraitist.requests.devices import choose_device

if TYPE_CHECKING:
    from portraitist.evaluation import Candidate, Evaluation, Protocol, Result

_RESULT, _REPORT, _SHEET = "result.json", "report.md", "sheet.png"


def evaluate(
    what: Annotated[
        Path,
        typer.Argument(
            metavar="ADAPTERS_OR_PICTURES",
            help="An adapter file, a folder of them named after their subjects, or folders of generated pictures.",
            show_default=False,
        ),
    ],
    photos: Annotated[
        Path | None,
        typer.Option(help="The subject's photos, or a folder of such folders; by default the bundled examples."),
    ] = None,
    protocol: Annotated[str, typer.Option(help="dreambench, faces, toyland, or a YAML file of your own.")] = "toyland",
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of pictures and report.")] = Path("evaluation"),
    encoder: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=NAME", help="A different encoder for a role: a hub id or a path."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="A metric to compute; may be repeated. By default the protocol's.")
    ] = None,
    compare: Annotated[
        list[Path] | None, typer.Option(metavar="RESULT", help="A result.json to compare with; may be repeated.")
    ] = None,
    class_noun: Annotated[str | None, typer.Option("--class", help="Class noun of the subject.")] = None,
    token: Annotated[str | None, typer.Option(help="The subject's token, if the adapter does not name it.")] = None,
    keep_token: Annotated[
        bool, typer.Option("--keep-token", help="Keep the token in the prompts that CLIP-T reads.")
    ] = False,
    base: OtherBaseOption = None,
    count: Annotated[int | None, typer.Option("-n", "--count", min=1, help="Pictures per prompt.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps.")] = None,
    guidance: Annotated[float | None, typer.Option(min=1, help="Scale of classifier-free guidance.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Use adapters that were made for another base.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Measure adapters or pictures against photos; repeat the command to continue an interrupted run."""
    from portraitist.files import require_writable
    from portraitist.locks import held
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.evaluation import (
        Evaluation,
        check_comparable,
        find_candidates,
        load_protocol,
        load_tools,
        sampling_config,
    )
    from portraitist.exchange.loading import load_base_of

    place = choose_device(device)
    rules = load_protocol(protocol)
    rules = rules.model_copy(update={"images_per_prompt": count}) if count else rules
    candidates = find_candidates(what, photos, rules, class_noun, token)
    metrics = metric or list(rules.metrics)
    others = _load_others(what.stem, compare or [])
    require_writable(output)
    tools = load_tools({**rules.encoders, **_parse_encoders(encoder)}, metrics, place)
    adapters = [candidate.adapter for candidate in candidates if candidate.adapter]
    evaluation = Evaluation(
        name=what.stem,
        protocol=rules,
        candidates=candidates,
        tools=tools,
        metrics=metrics,
        output=output,
        config=sampling_config(rules, steps, guidance),
        prompt_text="with token" if keep_token else "without token",
        force=force,
    )
    check_comparable([evaluation.outline(), *others])
    _warn(candidates, rules)
    with held(output, "an evaluation", instead="choose another folder with -o"):
        result = evaluation.run(load_base_of(adapters, base, place) if adapters else None)
        _write(evaluation, result, others, output)


def _load_others(name: str, paths: "list[Path]") -> "list[Result]":
    """Read results to compare with; of those named alike, the path is the name."""
    from portraitist.evaluation import Result

    others = [Result.load(path) for path in paths]
    names = [name, *(other.name for other in others)]
    return [
        other.model_copy(update={"name": str(path)}) if names.count(other.name) > 1 else other
        for path, other in zip(paths, others, strict=True)
    ]


def _parse_encoders(pairs: list[str] | None) -> dict[str, str]:
    """Parse ``role=name`` pairs.

    Raises:
        BadConfig: If one is no such pair, or there is no such role.
    """
    from portraitist.evaluation.metrics import ROLES

    chosen = {}
    for pair in pairs or []:
        role, equals, name = pair.partition("=")
        if not equals or not name or role not in ROLES:
            raise BadConfig(f"--encoder takes ROLE=NAME with one of the roles {', '.join(ROLES)}, not {pair!r}")
        chosen[role] = name
    return chosen


def _warn(candidates: "list[Candidate]", protocol: "Protocol") -> None:
    known = {candidate.subject.name for candidate in candidates}
    missing = [subject.name for subject in protocol.subjects if subject.name not in known]
    if missing and len(candidates) > 1:
        warn(f"{len(missing)} of the protocol's subjects are not evaluated: {', '.join(missing)}")


def _write(evaluation: "Evaluation", result: "Result", others: "list[Result]", output: Path) -> None:
    """Write JSON, Markdown and the sheet; print the means, what could not be measured, and the comparisons."""
    from portraitist.evaluation import compare
    from portraitist.evaluation.report import comparison_table, markdown, picture_sheet
    from portraitist.files import write_aside

    def write_report(tables: list[str]) -> None:
        with write_aside(output / _REPORT) as temporary:
            temporary.write_text("\n".join([markdown(result), *tables]), encoding="utf-8")

    result.save(output / _RESULT)
    write_report([])
    with write_aside(output / _SHEET) as temporary:
        picture_sheet(evaluation).save(temporary, format="PNG")
    for name in result.metrics():
        interval = result.interval(name)
        spread = f"  ({interval.low:.3f} to {interval.high:.3f})" if interval.count > 1 else ""
        fact(name, f"{interval.mean:.3f}{spread}")
    for name, value in result.set_scores.items():
        fact(name, f"{value:.2f}")
    for line in result.unmeasured():
        say(f"not measured: {line}")
    fact("report", str(output / _REPORT))
    fact("sheet", str(output / _SHEET))
    # The prompts of given pictures are known only now, and may be others.
    tables = [comparison_table(compare(result, other), result.name, other.name) for other in others]
    if tables:
        write_report(tables)
    for table in tables:
        say(table)
