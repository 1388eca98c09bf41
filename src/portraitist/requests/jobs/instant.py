"""Carrying out an `InstantRequest`."""

import time
from pathlib import Path

from portraitist.adapters import save_adapter
from portraitist.errors import BadConfig
from portraitist.evaluation.faces import load_detector
from portraitist.hypernetworks.predicting import Seer
from portraitist.hypernetworks.refining import refine
from portraitist.hypernetworks.saved import SavedHypernetwork, list_hypernetworks, load_hypernetwork, shipped_for
from portraitist.hypernetworks.settings import RefinementSettings
from portraitist.locks import output_held
from portraitist.requests.advice import Advice
from portraitist.requests.handle import Handle
from portraitist.requests.instant import InstantRequest
from portraitist.requests.jobs.job import Job
from portraitist.requests.jobs.opening import open_base
from portraitist.requests.value import Value
from portraitist.training.subjects import Subject

_SCENE = "on the beach"


class InstantPlan(Value):
    """What will be predicted.

    Attributes:
        hypernetwork: Its name.
        predicts: What it predicts, in words.
        base: The base's name.
        photos: How many photos can be used.
        guidance: How far it is led away from nobody's adapter.
        refine: Steps of training afterwards.
    """

    hypernetwork: str
    predicts: str
    base: str
    photos: int
    guidance: float
    refine: int


class Instant(Value):
    """What came of it.

    Attributes:
        file: Path of the adapter.
        predicted: Path of the prediction alone; the same without refinement.
        method: The adapter's method.
        parameters: How many it has.
        size: Its bytes.
        energy: Part of the change that was kept in the layer that lost most to a rank.
        seconds: Of the prediction,
        refine_seconds: and of the training afterwards.
        prompt: A prompt to try it with.
        advice: What was found out about the photos.
    """

    file: Path
    predicted: Path
    method: str
    parameters: int
    size: int
    energy: float
    seconds: float
    refine_seconds: float
    prompt: str
    advice: tuple[Advice, ...]


class InstantJob(Job[InstantPlan, Instant]):
    """A prediction whose base, hypernetwork and encoders are loaded and whose photos are read.

    Args:
        request: What is asked.

    Raises:
        PortraitistError: If it cannot be done, in one line.
    """

    def __init__(self, request: InstantRequest) -> None:
        request.check()
        self.request = request
        named = None if request.hypernetwork is None else load_hypernetwork(request.hypernetwork)
        choice = request.base
        if choice.name is None and named is not None:
            choice = choice.model_copy(update={"name": named.description.base_facts.name})
        self.base, advice = open_base(choice)
        self.advice = [*request.hints(), *advice]
        hypernetwork = named or load_hypernetwork(self._usual())
        self._check_draws(hypernetwork)
        hypernetwork.predictor.to(self.base.device)
        self.seer = Seer(hypernetwork, self.base, request.force)
        token, side = hypernetwork.description.token, self.base.family.resolution
        self.subject = Subject.from_folder(request.photos, request.class_noun, token, side, request.fit)  # type: ignore[arg-type]
        self.advice += [Advice.of(f"skipped: {line}") for line in self.subject.skipped]
        self.advice += self._count_faces()
        self.refinement = self._refinement(hypernetwork.description.recipe.refinement)
        self.plan = InstantPlan(
            hypernetwork=hypernetwork.name,
            predicts=hypernetwork.description.output,
            base=self.base.name,
            photos=len(self.subject.photos),
            guidance=request.guidance,
            refine=request.refine,
        )

    def run(self, handle: Handle | None = None) -> Instant:
        """Predict, train on if asked, and write the adapter.

        Raises:
            InUse: If another process writes the adapter.
            Stopped: If the handle asked to stop between two steps.
        """
        request = self.request
        with output_held(request.output, "a prediction", request.check_output):
            return self._run(handle or Handle())

    def _run(self, handle: Handle) -> Instant:
        request = self.request
        began = time.perf_counter()
        prediction = self.seer.predict(
            self.subject.photos,
            request.class_noun,
            request.guidance,
            request.rank,
            request.seed or 0,
            request.sampling_steps,
        )
        seconds = time.perf_counter() - began
        adapter = prediction.adapter
        save_adapter(adapter, request.predicted_file)
        began = time.perf_counter()
        if request.refine:
            adapter = refine(
                self.base,
                adapter,
                self.subject,
                self.refinement,
                request.refine,
                [lambda step: handle.report("refining", step, request.refine)],
            )
            save_adapter(adapter, request.output)
        return Instant(
            file=request.output,
            predicted=request.predicted_file,
            method=adapter.method.name,
            parameters=adapter.count(),
            size=request.output.stat().st_size,
            energy=prediction.energy,
            seconds=seconds,
            refine_seconds=time.perf_counter() - began if request.refine else 0.0,
            prompt=f"a photo of a {adapter.provenance.trigger} {_SCENE}",
            advice=tuple(Advice.of(line) for line in prediction.warnings),
        )

    def _refinement(self, own: RefinementSettings) -> RefinementSettings:
        """Return how a prediction is trained on: as the hypernetwork says, with what the request asks.

        Raises:
            BadConfig: If the least rank is not less than the rank.
        """
        least = self.request.least_rank
        if least is None:
            return own
        if least >= own.rank:
            raise BadConfig(f"--least-rank {least} must be less than the rank that is trained, {own.rank}")
        return own.model_copy(update={"least_rank": least})

    def _count_faces(self) -> list[Advice]:
        """Say of photos that they show no face or several, where a detector is given."""
        if self.request.detector is None:
            return []
        detector, lines = load_detector(str(self.request.detector)), []
        for path, photo in zip(self.subject.paths, self.subject.photos, strict=True):
            count = len(detector.find_all(photo))
            if not count:
                lines.append(f"{path.name} shows no face; give a photo that does")
            elif count > 1:
                lines.append(f"{path.name} shows {count} faces; crop it to the one that is meant")
        return [Advice.of(line) for line in lines]

    def _check_draws(self, hypernetwork: SavedHypernetwork) -> None:
        """Refuse what only networks that draw have a use for.

        Raises:
            BadConfig: If the network does not.
        """
        request = self.request
        if not hypernetwork.predictor.draws and (request.seed is not None or request.sampling_steps is not None):
            raise BadConfig(
                f"the hypernetwork {hypernetwork.name} predicts one adapter for a photo and draws none, so that --seed"
                " and --sampling-steps have no effect; leave them out"
            )

    def _usual(self) -> str:
        """Return the hypernetwork that ships for the base.

        Raises:
            BadConfig: If none does.
        """
        name = shipped_for(self.base.fingerprint)
        if name is None:
            shipped = ", ".join(list_hypernetworks()) or "none"
            raise BadConfig(
                f"no hypernetwork ships for {self.base.name} (there are: {shipped}); give one with --hypernetwork, or"
                " train one with `portraitist hypernetwork train`"
            )
        return name
