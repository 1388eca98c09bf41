"""What an evaluation found: scores by subject, with every encoder's identity; comparing two of them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portraitist.errors import BadConfig, BadFile
from portraitist.evaluation.encoders import EncoderFacts
from portraitist.evaluation.metrics import FID, METRICS, higher_is_better
from portraitist.evaluation.statistics import Interval, bootstrap_interval, paired_difference, win_rate
from portraitist.files import write_aside

FORMAT = "portraitist-evaluation-1"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SubjectResult(_Section):
    """Scores of one subject.

    Attributes:
        subject: Its name.
        class_noun: What it is.
        photos: How many photos it was compared with.
        pictures: How many pictures were generated.
        prompts: Digest of the different prompts of its pictures, without the token; absent if unknown.
        class_prompt: The prompt of its class pictures, if there are any.
        scores: Numbers by metric; metrics that could not be measured are absent.
        missing: Why they could not, by metric.
        prompt_deviation: Standard deviation over prompts, by metric, of the prompts' means.
        seconds_per_picture: Seconds that sampling took; absent when the pictures were given.
        bytes: Size of the adapter file.
        training_seconds: How long the adapter was trained, if its file says so.
    """

    subject: str
    class_noun: str = ""
    photos: int = 0
    pictures: int = 0
    prompts: str | None = None
    class_prompt: str = ""
    scores: dict[str, float] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)
    prompt_deviation: dict[str, float] = Field(default_factory=dict)
    seconds_per_picture: float | None = None
    bytes: int | None = None
    training_seconds: float | None = None


class Result(_Section):
    """Everything an evaluation found.

    Attributes:
        format: Version of this layout.
        name: What was evaluated.
        protocol: Name of the protocol.
        encoders: Identity of the encoder in every role.
        settings: What else the numbers depend on: sampling, prompts, which text CLIP-T read.
        subjects: Scores by subject.
        set_scores: Scores of all pictures together, such as FID.
        portraitist_version: The package that measured.
    """

    format: str = FORMAT
    name: str
    protocol: str
    encoders: dict[str, EncoderFacts]
    settings: dict[str, Any]
    subjects: list[SubjectResult]
    set_scores: dict[str, float] = Field(default_factory=dict)
    portraitist_version: str

    def values(self, metric: str) -> dict[str, float]:
        """Return a metric's values by subject."""
        return {row.subject: row.scores[metric] for row in self.subjects if metric in row.scores}

    def metrics(self) -> list[str]:
        """Return the names of all scores, the registered ones first."""
        found = {name for row in self.subjects for name in row.scores}
        return [*(name for name in METRICS if name in found), *sorted(found - METRICS.keys())]

    def unmeasured(self) -> list[str]:
        """Say which metrics have no value, for which subjects and why, one line for every metric and reason."""
        subjects: dict[tuple[str, str], list[str]] = {}
        for row in self.subjects:
            for metric, reason in row.missing.items():
                subjects.setdefault((metric, reason), []).append(row.subject)
        everybody = len(self.subjects)
        return [
            f"{label(metric)}{'' if len(names) == everybody else ' of ' + ', '.join(names)} ({reason})"
            for (metric, reason), names in subjects.items()
        ]

    def interval(self, metric: str) -> Interval:
        """Return a metric's mean over subjects with its 95 % bootstrap interval."""
        return bootstrap_interval(list(self.values(metric).values()))

    def deviation(self, metric: str) -> float:
        """Return a metric's standard deviation over subjects (n - 1); 0 for one subject."""
        values = list(self.values(metric).values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def save(self, path: Path) -> None:
        """Write JSON."""
        with write_aside(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Result":
        """Read what `save` wrote.

        Raises:
            BadFile: If it is missing or no result.
        """
        try:
            content = json.loads(path.read_text())
            if not isinstance(content, dict) or content.get("format") != FORMAT:
                raise BadFile(f"{path} is not the result of an evaluation; give the result.json that `evaluate` wrote")
            return cls.model_validate(content)
        except (OSError, ValueError, ValidationError) as error:
            raise BadFile(
                f"{path} cannot be read as a result ({str(error).splitlines()[0]}); evaluate again"
            ) from error


class Comparison(_Section):
    """One metric of two results.

    Attributes:
        metric: Its name.
        difference: Mean of the first minus the second over shared subjects, with its interval ``(low, high)``.
        win_rate: Share of shared subjects at which the first is better; ties count half.
        subjects: How many subjects are shared.
    """

    metric: str
    difference: float
    interval: tuple[float, float]
    win_rate: float
    subjects: int


def compare(one: Result, other: Result) -> list[Comparison]:
    """Compare two results, metric by metric, on the subjects both have.

    Raises:
        BadConfig: If they were measured with different encoders, under different protocols or settings of measuring.
    """
    check_comparable([one, other])
    rows = []
    for metric in one.metrics():
        first, second = one.values(metric), other.values(metric)
        interval = paired_difference(first, second)
        wins = win_rate(first, second, higher_is_better(metric))
        if interval is None or wins is None:
            continue
        rows.append(
            Comparison(
                metric=metric,
                difference=interval.mean,
                interval=(interval.low, interval.high),
                win_rate=wins,
                subjects=interval.count,
            )
        )
    return rows


def check_comparable(results: Sequence[Result]) -> None:
    """Refuse results that were not measured alike, of subjects that both the first and another have.

    Raises:
        BadConfig: Naming both encoders, both protocols, both ways to read prompts, or the subject with other prompts.
    """
    first = results[0]
    for other in results[1:]:
        if first.protocol != other.protocol:
            raise BadConfig(
                f"{first.name} was evaluated under the protocol {first.protocol} and {other.name} under"
                f" {other.protocol}; evaluate both under one"
            )
        texts = [result.settings.get("prompt_text") for result in (first, other)]
        if texts[0] != texts[1]:
            raise BadConfig(
                f"CLIP-T read the prompts of {first.name} {texts[0]} and those of {other.name} {texts[1]}; evaluate"
                " both alike"
            )
        _check_encoders(first, other)
        _check_prompts(first, other)


def _check_encoders(first: Result, other: Result) -> None:
    """Refuse two results of which one has another encoder, or none, in a role that a metric of both depends on."""
    for name in METRICS:
        if name not in _wanted(first) & _wanted(other):
            continue
        for role in (METRICS[name].role, *METRICS[name].optional):
            here, there = first.encoders.get(role), other.encoders.get(role)
            if here == there or (here and there and here.same_measure(there)):
                continue
            ours, theirs = (f"with {facts}" if facts else "without any" for facts in (here, there))
            raise BadConfig(
                f"{label(name)} of {first.name} was measured {ours} and that of {other.name} {theirs} as {role}"
                " encoder; such numbers cannot be compared: evaluate both with one encoder"
            )


def _check_prompts(first: Result, other: Result) -> None:
    """Refuse two results without a common subject, or whose pictures of one were made of other prompts."""
    there = {row.subject: row for row in other.subjects}
    shared = [row for row in first.subjects if row.subject in there]
    if not shared:
        raise BadConfig(f"{first.name} and {other.name} have no subject in common; evaluate both on the same subjects")
    for row in shared:
        other_row = there[row.subject]
        pairs = ((row.prompts, other_row.prompts), (row.class_prompt, other_row.class_prompt))
        if any(ours and theirs and ours != theirs for ours, theirs in pairs):
            raise BadConfig(
                f"the pictures of {row.subject} were made of other prompts in {first.name} than in {other.name};"
                " evaluate both under the same protocol, and say the token of given pictures with --token"
            )


def _wanted(result: Result) -> set[str]:
    """Return the metrics that a result has or, before it is measured, will have."""
    return {*result.settings.get("metrics", ()), *result.metrics()}


def digest_prompts(texts: Sequence[str]) -> str | None:
    """Return what tells sets of prompts apart, in any order and number; None of none."""
    if not texts:
        return None
    return hashlib.sha256(json.dumps(sorted(set(texts))).encode()).hexdigest()[:16]


def label(metric: str) -> str:
    """Return a metric's name for readers."""
    if metric == FID:
        return "FID"
    return METRICS[metric].label if metric in METRICS else metric.replace("_", " ")
