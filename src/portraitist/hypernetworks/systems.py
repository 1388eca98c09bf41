"""The kinds of hypernetworks: for each its recipes, how it is trained, and how it is built again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from portraitist.errors import BadConfig
from portraitist.hypernetworks import recipes
from portraitist.hypernetworks.description import Description
from portraitist.hypernetworks.difflora import recipes as difflora_recipes
from portraitist.hypernetworks.difflora.making import METHOD as DIFFLORA
from portraitist.hypernetworks.difflora.making import WeightWorkshop
from portraitist.hypernetworks.difflora.predictor import build_generator
from portraitist.hypernetworks.difflora.settings import DiffloraRecipe
from portraitist.hypernetworks.making import METHOD as HYPERDREAMBOOTH
from portraitist.hypernetworks.making import PredictorWorkshop, build_predictor
from portraitist.hypernetworks.networks.contract import PhotoToAdapter
from portraitist.hypernetworks.recipes import USUAL, list_recipes, read_recipe
from portraitist.hypernetworks.settings import HypernetworkRecipe
from portraitist.hypernetworks.workshop import AnyWorkshop


@dataclass(frozen=True)
class System:
    """A kind of hypernetwork.

    Attributes:
        name: What it is called.
        recipe: The class of its recipes,
        place: and the package in which those that ship lie.
        workshop: Trains it.
        build: Builds an untrained network as it is described.
        target: Method of the target adapters without which it cannot be trained; None if it can.
    """

    name: str
    recipe: type[Any]
    place: str
    workshop: type[AnyWorkshop[Any]]
    build: Callable[[Description], PhotoToAdapter]
    target: str | None = None

    @property
    def recipes(self) -> list[str]:
        """Return the names of the shipped recipes."""
        return list_recipes(self.place)

    def load_recipe(self, name: str = USUAL, changes: Mapping[str, Any] | None = None) -> Any:
        """Return a recipe, shipped or of the user's; see `portraitist.hypernetworks.recipes.read_recipe`."""
        return read_recipe(self.recipe, self.place, name, changes)


SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System(HYPERDREAMBOOTH, HypernetworkRecipe, recipes.__name__, PredictorWorkshop, build_predictor),
        System(DIFFLORA, DiffloraRecipe, difflora_recipes.__name__, WeightWorkshop, build_generator, "lora"),
    )
}


def get_system(name: str) -> System:
    """Return a kind of hypernetwork.

    Raises:
        BadConfig: If there is none of this name, naming those there are.
    """
    if name not in SYSTEMS:
        raise BadConfig(f"no hypernetwork is called {name!r}; there are: {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
