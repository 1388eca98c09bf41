"""YAML of any kind where a recipe, a study or a protocol should be: read, or refused in one line."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portraitist.errors import PortraitistError
from portraitist.evaluation.protocol import load_protocol
from portraitist.reading import parse_yaml
from portraitist.studies.grid.study import list_studies, load_study
from portraitist.training.recipes import load_recipe
from portraitist.training.recipes.recipe import Recipe

from .conftest import how_many

_MANY = settings(
    max_examples=how_many("YAML", 40), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([10**30, "{x} {}", "../../x", "\0", "1e309", "lora+lora+lora"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    [*Recipe.model_fields, "title", "hypothesis", "grids", "prompts", "subjects", "metrics", "name"]
)
_SIGNS = st.text(alphabet="{}[]&*!|>-:,?#%@`'\" \n\t0123456789.abcdefx~", max_size=200)


def refusal(work: Callable[[], object], kind: type[Exception] = PortraitistError) -> str:
    """Return what is said against something; nothing if it is done."""
    try:
        work()
    except kind as error:
        return f"refused: {error}"
    return ""


def require_one_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.yaml"
        path.write_bytes(content)
        assert "\n" not in refusal(lambda: load_recipe("lora", "toyland", "sd", file=path))
        assert "\n" not in refusal(lambda: load_study(path))
        assert "\n" not in refusal(lambda: load_protocol(str(path)))


@_MANY
@given(st.dictionaries(_NAMES, _VALUES, max_size=6))
def test_settings_of_any_kind(content: dict[str, object]) -> None:
    require_one_line(yaml.safe_dump(content, allow_unicode=True).encode(errors="surrogatepass"))


@_MANY
@given(_SIGNS)
def test_text_of_any_kind(text: str) -> None:
    assert "\n" not in refusal(lambda: parse_yaml(text), ValueError)


@_MANY
@given(st.binary(max_size=200))
def test_bytes_of_any_kind(content: bytes) -> None:
    require_one_line(content)


def test_the_studies_that_ship_are_within_bounds() -> None:
    for name in list_studies():
        load_study(name)
