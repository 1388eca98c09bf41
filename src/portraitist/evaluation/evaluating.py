"""Evaluating: candidates under a protocol, from adapters or pictures to a result with its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from portraitist import __version__
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.evaluation.candidates import Candidate, read_pictures, read_with_prompts, without_token
from portraitist.evaluation.making import (
    Wanted,
    class_prompt,
    keep_settings,
    list_prompts,
    make_pictures,
    open_pictures,
    plan_class_pictures,
    plan_pictures,
    sampling_facts,
    seconds_per_picture,
)
from portraitist.evaluation.metrics import FID, MetricInputs, finds_faces
from portraitist.evaluation.protocol import Protocol, count_pictures
from portraitist.evaluation.results import Result, SubjectResult, digest_prompts
from portraitist.evaluation.scoring import flatten, prompt_deviation, score_set, score_subject, tool_facts
from portraitist.exchange.loading import load_for
from portraitist.files import sha256
from portraitist.generation import SamplingConfig
from portraitist.progress import track

# What CLIP-T and ImageReward read: the prompt without the rare token, or as the base reads it.
PromptText = Literal["without token", "with token"]
_CLASS = "class"


@dataclass(frozen=True)
class Evaluation:
    """One evaluation: what, under which protocol, measured with what.

    Attributes:
        name: Name of what is evaluated, for the report.
        protocol: The protocol.
        candidates: The subjects with adapters or pictures.
        tools: Encoders by role, from `portraitist.evaluation.load_tools`.
        metrics: Names of the metrics.
        output: Folder of the pictures.
        config: How to sample.
        prompt_text: What CLIP-T and ImageReward read.
        force: Use adapters that were made for another base.
    """

    name: str
    protocol: Protocol
    candidates: Sequence[Candidate]
    tools: Mapping[str, Any]
    metrics: Sequence[str]
    output: Path
    config: SamplingConfig
    prompt_text: PromptText = "without token"
    force: bool = False

    def run(self, base: Base | None = None) -> Result:
        """Generate what is missing, measure everything.

        Args:
            base: The base of the adapters; not needed when pictures are given.

        Raises:
            BadConfig: If pictures are to be generated without a base, or the folder holds pictures made otherwise.
            BaseMismatch: If an adapter was made for another base.
        """
        if any(candidate.adapter for candidate in self.candidates):
            if base is None:
                raise BadConfig("adapters need the base they were made for; name it with --base")
            self._generate(base)
        materials, rows = [], []
        outlined = self.outline(base)
        with track(len(self.candidates), "measuring") as progress:
            for candidate, row in zip(self.candidates, outlined.subjects, strict=True):
                material = self._material(candidate)
                rows.append(self._measure(candidate, material, row))
                progress.advance()
                if FID in self.metrics:
                    materials.append(material)
        set_scores = score_set(materials, self.tools, self.metrics)
        return outlined.model_copy(update={"subjects": rows, "set_scores": set_scores})

    def outline(self, base: Base | None = None) -> Result:
        """Return the result without its numbers: enough for `check_comparable`, before any work.

        Args:
            base: The base of the adapters, to be named in the result.
        """
        return Result(
            name=self.name,
            protocol=self.protocol.name,
            encoders=tool_facts(self.tools),
            settings=self._settings(base),
            subjects=[self._outline_subject(candidate) for candidate in self.candidates],
            portraitist_version=__version__,
        )

    def _outline_subject(self, candidate: Candidate) -> SubjectResult:
        """Return a subject's row without numbers; the prompts of given pictures are not known before they are read."""
        made = candidate.adapter is not None
        wanted, of_class = self.plan(candidate) if made else ([], [])
        return SubjectResult(
            subject=candidate.subject.name,
            class_noun=candidate.subject.class_noun,
            prompts=digest_prompts([one.text for one in wanted]),
            class_prompt=class_prompt(self.protocol, candidate.subject) if of_class else "",
            bytes=candidate.adapter.stat().st_size if candidate.adapter else None,
            training_seconds=candidate.training_seconds,
        )

    def plan(self, candidate: Candidate) -> tuple[list[Wanted], list[Wanted]]:
        """List a candidate's pictures and those of its class."""
        folder = self.output / "pictures" / candidate.subject.name
        pictures = plan_pictures(self.protocol, candidate.subject, candidate.token, folder)
        return pictures, plan_class_pictures(self.protocol, candidate.subject, folder / _CLASS)

    def _generate(self, base: Base) -> None:
        adapters = {one.subject.name: one.adapter for one in self.candidates if one.adapter is not None}
        made = [one for one in self.candidates if one.adapter is not None]
        settings = {
            "base": base.fingerprint,
            "sampling": sampling_facts(self.config),
            "adapters": {name: sha256(path)[:16] for name, path in adapters.items()},
            "prompts": {one.subject.name: list_prompts(self.protocol, one.subject, one.token) for one in made},
            "class_prompts": {one.subject.name: class_prompt(self.protocol, one.subject) for one in made},
        }
        keep_settings(self.output / "pictures", settings)
        with track(count_pictures(self.protocol, [one.subject for one in made]), "generating") as progress:
            for candidate in made:
                adapter = load_for(base, adapters[candidate.subject.name], self.force).to(base.device)
                for wanted in self.plan(candidate):
                    make_pictures(base, adapter, wanted, self.config, progress, self.force)

    def _material(self, candidate: Candidate) -> MetricInputs:
        photos = read_pictures(candidate.photos)
        plain = self.prompt_text == "without token"
        if candidate.pictures is not None:
            pictures, prompts = read_with_prompts(candidate.pictures)
            read = [without_token(prompt, candidate.token) if plain else prompt for prompt in prompts]
            return MetricInputs(candidate.subject.name, photos, pictures, read)
        wanted, wanted_of_class = self.plan(candidate)
        return MetricInputs(
            subject=candidate.subject.name,
            photos=photos,
            pictures=open_pictures(wanted),
            prompts=[one.text if plain else one.prompt for one in wanted],
            class_pictures=open_pictures(wanted_of_class),
        )

    def _measure(self, candidate: Candidate, material: MetricInputs, row: SubjectResult) -> SubjectResult:
        """Put the numbers into a subject's row."""
        scores = score_subject(material, self.tools, self.metrics)
        made = candidate.adapter is not None
        numbers = {
            "photos": len(material.photos),
            "pictures": len(material.pictures),
            "scores": flatten(scores),
            "missing": {name: found.missing for name, found in scores.items() if found.missing},
            "prompts": row.prompts
            or digest_prompts([without_token(text, candidate.token) for text in material.prompts]),
            "prompt_deviation": prompt_deviation(scores, material.groups),
            "seconds_per_picture": seconds_per_picture(self.output / "pictures" / material.subject) if made else None,
        }
        return row.model_copy(update=numbers)

    def _settings(self, base: Base | None) -> dict[str, Any]:
        generated = any(candidate.adapter for candidate in self.candidates)
        return {
            "subjects_expected": self.protocol.subjects_expected,
            "prompt_text": self.prompt_text,
            "metrics": list(self.metrics),
            "references": "the photos the adapter was trained on" if generated else "the photos given",
            **({"faces": self._faces()} if finds_faces(self.metrics) else {}),
            **({"base": base.name, "sampling": sampling_facts(self.config)} if base is not None and generated else {}),
        }

    def _faces(self) -> str:
        return "found by the detector" if "detector" in self.tools else "not looked for, whole pictures are compared"


def sampling_config(protocol: Protocol, steps: int | None = None, guidance: float | None = None) -> SamplingConfig:
    """Return how to sample: as asked, else as the protocol says, else by default."""
    given = {"steps": steps or protocol.steps, "guidance": guidance or protocol.guidance}
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return SamplingConfig(**settings)


def first_pictures(evaluation: Evaluation, candidate: Candidate, count: int) -> list[tuple[Image.Image, str]]:
    """Return some pictures of a candidate with their prompts, one of each prompt, for a sheet."""
    if candidate.pictures is not None:
        images, prompts = read_with_prompts(candidate.pictures)
        return list(zip(images, prompts or [""] * len(images), strict=True))[:count]
    wanted, _ = evaluation.plan(candidate)
    chosen = wanted[:: evaluation.protocol.images_per_prompt][:count]
    return list(zip(open_pictures(chosen), [one.text for one in chosen], strict=True))
