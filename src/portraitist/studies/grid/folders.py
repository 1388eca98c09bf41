"""Folders that arms need and that are named when a study is run: ``$networks/k-1`` with ``--folder networks=PATH``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist.errors import BadConfig
from portraitist.studies.grid.study import Grid, Study

_MARK = "$"


@dataclass(frozen=True)
class Supplied:
    """A study whose arms have their folders.

    Attributes:
        study: The study, without the arms that lack one.
        left_out: These, with what they lack: ``k = 1 (networks/k-1)``.
    """

    study: Study
    left_out: tuple[str, ...] = ()


def supply(study: Study, folders: Mapping[str, Path]) -> Supplied:
    """Put folders in the places where a study names them; arms whose folders are not there are left out.

    Args:
        study: The study.
        folders: Folders by the names that the study gives them.

    Raises:
        BadConfig: If the study knows no folder of a name, or one that is given does not exist, or no arm is left.
    """
    for name, folder in folders.items():
        if name not in study.folders:
            known = ", ".join(study.folders) or "none"
            raise BadConfig(f"this study needs no folder called {name!r}; it needs: {known}")
        if not folder.is_dir():
            raise BadConfig(f"the folder {name}={folder} does not exist")
    grids, left_out = [], []
    for grid in study.grids:
        arms: dict[str, dict[str, Any]] = {}
        for name, arm in grid.arms.items():
            found = {setting: _find(value, study, folders) for setting, value in arm.items()}
            lacking = next((arm[setting] for setting, value in found.items() if value is None), None)
            if lacking is None or not str(lacking).startswith(_MARK):
                arms[name] = found
            else:
                left_out.append(f"{name} ({str(lacking).removeprefix(_MARK)})")
        if arms or not grid.arms:
            grids.append(_with_arms(grid, arms))
    if not grids:
        raise BadConfig(f"nothing of this study can be run without its folders: {', '.join(left_out)}")
    return Supplied(study.model_copy(update={"grids": tuple(grids)}), tuple(dict.fromkeys(left_out)))


def _find(value: Any, study: Study, folders: Mapping[str, Path]) -> Any:
    """Return a setting with its folder in place; None where that is not there."""
    if not isinstance(value, str) or not value.startswith(_MARK):
        return value
    name, _, rest = value.removeprefix(_MARK).partition("/")
    if name in folders:
        place = folders[name] / rest
        return str(place) if place.exists() else None
    return None if rest else study.folders.get(name)


def _with_arms(grid: Grid, arms: Mapping[str, Mapping[str, Any]]) -> Grid:
    """Return a grid with fewer arms; what names a missing one is dropped."""
    if not grid.arms:
        return grid
    sheet = grid.sheet
    if sheet is not None:
        kept = tuple(name for name in sheet.variants if name in arms)
        sheet = sheet.model_copy(update={"variants": kept}) if kept or not sheet.variants else None
    against = grid.against if grid.against in arms else None
    return grid.model_copy(update={"arms": arms, "methods": tuple(arms), "against": against, "sheet": sheet})
