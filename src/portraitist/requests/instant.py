"""What `portraitist instant` is asked: photos of somebody to an adapter in one pass."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, FiniteFloat

from portraitist.errors import BadConfig, BadPhoto
from portraitist.files import require_unused, require_writable
from portraitist.requests.advice import Advice
from portraitist.requests.choices import BaseChoice, check_fit
from portraitist.requests.devices import check_precision
from portraitist.requests.request import Request, Rule

# Led further away from nobody's adapter, predictions fall apart.
_STRONG_GUIDANCE = 4.0


class InstantRequest(Request):
    """Predict an adapter from photos.

    Attributes:
        photos: Photos of one person or thing.
        class_noun: What kind of thing it is.
        output: The adapter's file.
        hypernetwork: A shipped one's name, or a folder; None for the one that ships for the base.
        base: The base; by default the one the hypernetwork was made for.
        guidance: How far to lead away from the adapter of nobody in particular; 1 not at all.
        seed: Which of the adapters of a photo, where the hypernetwork draws them; None for the first.
        sampling_steps: In how many steps they are drawn; None for as many as is usual.
        rank: Maximum rank of the LoRA; None keeps it exact.
        refine: Steps of training on from the prediction.
        least_rank: Rank that its noisiest samples teach; None leaves it to the hypernetwork.
        detector: Finds faces, to say of photos that they show none or several; None does not look for them.
        fit: Photos that are not square: ``crop``, or ``pad`` with white.
        overwrite: Replace a file that is there.
        force: Go on with a base that the hypernetwork was not made for.
    """

    photos: tuple[Path, ...]
    class_noun: str
    output: Path
    hypernetwork: str | None = None
    base: BaseChoice = BaseChoice()
    guidance: FiniteFloat = Field(1.0, gt=0)
    seed: int | None = Field(None, ge=0)
    sampling_steps: int | None = Field(None, ge=1)
    rank: int | None = Field(None, ge=1)
    refine: int = Field(0, ge=0)
    least_rank: int | None = Field(None, ge=0)
    detector: Path | None = None
    fit: str = "crop"
    overwrite: bool = False
    force: bool = False

    @property
    def predicted_file(self) -> Path:
        """Return where the prediction goes: beside the output, if that is trained on."""
        return (
            self.output.with_name(f"{self.output.stem}-predicted{self.output.suffix}") if self.refine else self.output
        )

    def rules(self) -> Sequence[Rule]:
        """Return what must hold of photos, class, base and output."""
        return (
            self._check_photos,
            self._check_class,
            lambda: check_precision(self.base.precision),
            lambda: check_fit(self.fit),
            self.check_output,
        )

    def hints(self) -> list[Advice]:
        """Say that strong guidance distorts, and that a least rank does nothing without steps."""
        lines = []
        if self.guidance > _STRONG_GUIDANCE:
            lines.append(f"guidance {self.guidance:g} distorts pictures; values from 1 to 3 are usual")
        if self.least_rank is not None and not self.refine:
            lines.append("--least-rank has no effect without --refine; add --refine 40, or leave it out")
        return [Advice.of(line) for line in lines]

    def _check_photos(self) -> None:
        if not self.photos:
            raise BadPhoto("there is no photo; give one, or several of the same person or thing")
        for path in self.photos:
            if not path.exists():
                raise BadPhoto(f"{path} does not exist; give a photo, or a folder of them")

    def _check_class(self) -> None:
        if not self.class_noun.strip():
            raise BadConfig("the subject needs a class noun, such as person: --class person")

    def check_output(self) -> None:
        """Refuse an output that is no adapter's file, cannot be written, or is there and not to be replaced."""
        if self.output.suffix != ".safetensors":
            raise BadConfig(f"an adapter's file ends in .safetensors, unlike {self.output}")
        for path in {self.output, self.predicted_file}:
            require_unused(path, self.overwrite)
        require_writable(self.output.parent)
