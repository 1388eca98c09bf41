"""Values that are parsed by hand."""

from typing import Any

import pytest
from typer.testing import CliRunner

from portraitist.cli.main import app
from portraitist.cli.options import parse_settings
from portraitist.errors import BadConfig


@pytest.mark.parametrize(
    ("pairs", "settings"),
    [
        ([], {}),
        (["steps=3"], {"steps": 3}),
        (["learning_rate=1e-4"], {"learning_rate": 1e-4}),
        (["mirror=true", "prior=none"], {"mirror": True, "prior": "none"}),
        (["layers=[a.*, b.*]"], {"layers": ["a.*", "b.*"]}),
        (["method_config.rank=8", "method_config.alpha=4"], {"method_config": {"rank": 8, "alpha": 4}}),
        (["prompt=a = b of {}"], {"prompt": "a = b of {}"}),
        (["min_snr_gamma="], {"min_snr_gamma": None}),
    ],
)
def test_settings(pairs: list[str], settings: dict[str, Any]) -> None:
    assert parse_settings(pairs) == settings


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        (["steps"], "name=value"),
        (["=3"], "name=value"),
        (["a..b=3"], "name=value"),
        (["steps={"], "not YAML"),
        (["method=full"], "--method"),
        (["a=1", "a.b=2"], "both a value and parts"),
    ],
)
def test_bad_settings(pairs: list[str], complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint):
        parse_settings(pairs)


def test_an_argument_that_is_no_text_is_refused() -> None:
    result = CliRunner().invoke(app, ["generate", "a cat \udcff"])
    assert result.exit_code == 2
    assert "is not valid UTF-8; type it again" in result.stderr
    assert "Traceback" not in result.output
