from pathlib import Path

import pytest
import torch
import yaml

from portraitist.adapters import LayerSpec
from portraitist.adapters.spec import Kind
from portraitist.errors import BadConfig
from portraitist.hypernetworks.difflora.predictor import WeightGenerator
from portraitist.hypernetworks.difflora.settings import ConvolutionSettings
from portraitist.hypernetworks.systems import get_system

# About the attention of toyland: 56 layers of up to 192 x 192.
TOYLAND = [LayerSpec(f"unet.{number}.to_q", Kind.LINEAR, (192, 192)) for number in range(56)]


def test_the_papers_recipe_has_what_is_known_of_the_paper() -> None:
    recipe = get_system("difflora").load_recipe("paper")
    assert (recipe.generator.depth, recipe.generator.width, recipe.generator.process) == (16, 1454, "diffusion")
    assert isinstance(recipe.autoencoder, ConvolutionSettings)
    assert recipe.autoencoder.gamma > 0
    assert (recipe.features.mixing, recipe.features.unknown) == ("gate", 0.1)


@pytest.mark.parametrize("name", ["portraitist", "tokens"])
@pytest.mark.parametrize("shared_a", [True, False])
def test_the_small_ones_fit_into_twenty_megabytes(name: str, shared_a: bool) -> None:
    recipe = get_system("difflora").load_recipe(name, {"weights": {"rank": 4, "shared_a": shared_a}})
    if name == "portraitist" and not shared_a:
        pytest.skip("principal components of LoRAs with a factor A of their own are larger; give a higher ratio")
    shapes = {encoder: (1, 128) for encoder in recipe.sight.encoders}
    with torch.device("meta"):
        network = WeightGenerator(recipe, shapes, TOYLAND)
    assert 2 * sum(value.numel() for value in network.state_dict().values()) < 20e6


def test_what_is_missing_or_unknown_is_named(tmp_path: Path) -> None:
    system = get_system("difflora")
    own = tmp_path / "own.yaml"
    sections = system.load_recipe("tokens").model_dump(mode="json", exclude={"autoencoder_training"})
    own.write_text(yaml.safe_dump(sections))
    with pytest.raises(BadConfig, match="needs the section autoencoder_training"):
        system.load_recipe(str(own))
    with pytest.raises(BadConfig, match=r"features\.mixing"):
        system.load_recipe("paper", {"features": {"mixing": "sum"}})
    with pytest.raises(BadConfig, match="choose paper or portraitist or tokens"):
        system.load_recipe("papr")
