"""An editing request before it is opened."""

from pathlib import Path

from portraitist.requests.edit import EditRequest


def ask(folder: Path, **values: object) -> EditRequest:
    (folder / "a.png").touch()
    words = {"photo": folder / "a.png", "source": "a red robot", "target": "a blue robot", "output": folder / "out"}
    return EditRequest.parse({**words, **values})


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    found = ask(tmp_path, source=" ", method="none", steps=3, strength=2).review()
    assert [each.text for each in found] == [
        "--method none learns nothing, so training settings (--steps, --set) have no effect",
        "the source prompt is empty",
        "strength must be between 0 and 1, not 2",
    ]
    assert [each.text for each in ask(tmp_path, photo="nowhere.png").review()] == ["nowhere.png does not exist"]


def test_the_same_words_twice_are_warned_of(tmp_path: Path) -> None:
    (hint,) = ask(tmp_path, target="a  red robot").review()
    assert hint.severity == "warning"
    assert hint.text.startswith("source and target are the same prompt")


def test_settings_of_learning(tmp_path: Path) -> None:
    request = ask(tmp_path, seed=3, steps=5, settings={"learning_rate": 1e-4, "steps": 9})
    assert request.learning == {"seed": 3, "learning_rate": 1e-4, "steps": 5}
    assert request.learns
    assert not ask(tmp_path, method="none").learns
    assert not ask(tmp_path, adapter="a.safetensors").learns


def test_settings_that_are_not_given_are_the_usual_ones(tmp_path: Path) -> None:
    config = ask(tmp_path, guidance=5).config
    assert (config.guidance, config.steps, config.negative_prompt) == (5, 50, "")
