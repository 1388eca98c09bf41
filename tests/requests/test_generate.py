"""A sampling request before it is opened."""

from pathlib import Path

from portraitist.requests.generate import GenerateRequest


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    adapters = [{"file": "a.safetensors"}, {"file": "a.safetensors"}]
    request = GenerateRequest.parse(
        {"prompts": [], "adapters": adapters, "guidance": 0.5, "output": tmp_path / "file", "base": {"precision": "x"}}
    )
    assert [each.text for each in request.review()] == [
        "there is no prompt",
        "unknown precision 'x'",
        "steps and batch size must be at least 1, guidance at least 1.0",
        "a.safetensors is given twice",
        f"cannot write into {tmp_path / 'file'}: Not a directory",
    ]


def test_adapters_of_regions_are_loaded_once() -> None:
    request = GenerateRequest.parse(
        {
            "prompts": ["two cats"],
            "adapters": [{"file": "a", "scale": 0.5}],
            "regions": [
                {"place": "left", "prompt": "a cat", "adapter": {"file": "a"}},
                {"place": "right", "prompt": "a cat", "adapter": {"file": "b", "scale": 2}},
            ],
        }
    )
    assert [(str(each.file), each.scale) for each in request.all_adapters] == [("a", 0.5), ("b", 2.0)]


def test_what_is_usual_is_not_said() -> None:
    config = GenerateRequest.parse({"prompts": ["a cat"], "guidance": 2}).config
    assert (config.steps, config.guidance, config.negative_prompt, config.scheduler) == (None, 2, "", None)
