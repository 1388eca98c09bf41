import re
from pathlib import Path

import pytest
import torch
from painted_set import paint
from PIL import Image

from portraitist.adapters import attached
from portraitist.bases import Base, load_base
from portraitist.bases.examples import get_example
from portraitist.errors import BadConfig, BaseMismatch
from portraitist.hypernetworks.predicting import Seer
from portraitist.hypernetworks.saved import SavedHypernetwork, load_hypernetwork


@pytest.fixture(scope="module")
def hypernetwork(hypernetwork_folder: Path) -> SavedHypernetwork:
    """Return the tiny hypernetwork, its heads large enough to be seen."""
    loaded = load_hypernetwork(str(hypernetwork_folder))
    loaded.predictor.network.heads.weight.data.mul_(100)
    return loaded


def test_a_photo_becomes_an_ordinary_adapter(base: Base, hypernetwork: SavedHypernetwork) -> None:
    prediction = Seer(hypernetwork, base).predict([paint(0, 0, 32)], "cat")
    adapter = prediction.adapter
    assert (adapter.method.name, adapter.config.rank, prediction.energy) == ("lora", 3, 1.0)  # type: ignore[attr-defined]
    assert adapter.provenance.trigger == "sks cat"
    assert adapter.provenance.base is not None
    assert adapter.provenance.base.fingerprint == base.fingerprint
    assert adapter.provenance.facts["hypernetwork"]["recipe"] == "portraitist"
    with torch.no_grad(), attached(base.components, adapter):
        assert base.family.encode_prompts(["a sks cat"])["encoder_hidden_states"].isfinite().all()


def test_photos_matter_and_several_count_together(base: Base, hypernetwork: SavedHypernetwork) -> None:
    seer = Seer(hypernetwork, base)

    def numbers(*photos: int) -> torch.Tensor:
        pictures = [paint(who, 0, 32) for who in photos]
        return torch.cat([each.flatten() for each in seer.predict(pictures, "cat").adapter.named_parameters().values()])

    assert not torch.allclose(numbers(0), numbers(1))
    assert not torch.allclose(numbers(0, 2), numbers(0))
    torch.testing.assert_close(numbers(0, 2), numbers(2, 0), atol=1e-4, rtol=1e-3)


def test_guidance_leads_away_from_nobody(base: Base, hypernetwork: SavedHypernetwork) -> None:
    predictor = hypernetwork.predictor
    features = {"latents": Seer(hypernetwork, base).sight.see([paint(0, 0, 32)])["latents"].unsqueeze(0)}
    nobody = predictor(features, torch.tensor([True]))
    own = predictor.guided(features, 1.0)
    torch.testing.assert_close(predictor.guided(features, 0.0), nobody, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(predictor.guided(features, 2.0) - own, own - nobody, atol=1e-4, rtol=1e-3)


def test_other_kinds_and_strange_photos_are_said(base: Base, hypernetwork: SavedHypernetwork) -> None:
    seer = Seer(hypernetwork, base)
    lines = seer.predict([paint(0, 0, 32)], "dog").warnings
    assert any("other kinds (cat, robot), not on a dog" in line for line in lines)
    noise = torch.randint(0, 255, (32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert any("nothing" in line for line in seer.predict([Image.fromarray(noise.numpy())], "cat").warnings)
    with pytest.raises(BadConfig, match="there is no photo"):
        seer.predict([], "cat")


@pytest.mark.parametrize(
    ("count", "strange", "said"),
    [
        ("several", False, "the photo seems to show several subjects"),
        ("several", True, "the photo seems to show several subjects"),
        ("none", True, "the photo shows no subject; give one that shows a cat"),
        ("none", False, None),
        ("one", False, None),
    ],
)
def test_several_subjects_and_none_are_said_in_one_line(
    count: str, strange: bool, said: str | None, base: Base, hypernetwork: SavedHypernetwork
) -> None:
    class Counter:
        name = "latents"

        def count(self, embedding: torch.Tensor) -> tuple[str, str]:
            return count, "a photo of a cat and a robot"

    seer = Seer(hypernetwork, base)
    vars(seer)["_counter"] = Counter()
    noise = torch.randint(0, 255, (32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    photo = Image.fromarray(noise.numpy()) if strange else paint(0, 0, 32)
    lines = seer.predict([photo], "cat").warnings
    assert len(lines) == (said is not None)
    assert said is None or said in lines[0]


def test_other_bases_are_refused_unless_forced(hypernetwork: SavedHypernetwork, other_base_folder: Path) -> None:
    other = load_base(other_base_folder)
    with pytest.raises(BaseMismatch, match="was made for"):
        Seer(hypernetwork, other)
    assert Seer(hypernetwork, other, force=True).predict([paint(0, 0, 32)], "cat").adapter.count() > 0


def test_a_base_of_other_layers_is_refused_whatever_is_forced(hypernetwork: SavedHypernetwork) -> None:
    with pytest.raises(BadConfig, match="here, but"):
        Seer(hypernetwork, load_base("toyland"), force=True)


@pytest.mark.weights
def test_the_example_of_the_documentation_runs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "hypernetworks.md").read_text(encoding="utf-8")
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Seer" in code]
    photo = next(get_example("person-c1ab37").folder.glob("*.png"))
    names: dict[str, object] = {}
    exec(compile(example.replace('"photo.png"', repr(str(photo))), "hypernetworks.md", "exec"), names)
    assert names["adapter"].method.name == "lora"  # type: ignore[attr-defined]
