"""Results: kept, read back, compared; unlike encoders are refused by name."""

from pathlib import Path

import pytest

from portraitist.errors import BadConfig, BadFile
from portraitist.evaluation.encoders import EncoderFacts
from portraitist.evaluation.report import comparison_table, markdown
from portraitist.evaluation.results import Result, SubjectResult, compare, digest_prompts

B32 = EncoderFacts(name="openai/clip-vit-base-patch32", revision="aaaa", preprocessing="shorter side 224")
L14 = EncoderFacts(name="openai/clip-vit-large-patch14", revision="bbbb", preprocessing="shorter side 224")


def result(name: str, values: dict[str, float], clip: EncoderFacts = B32, **changes: object) -> Result:
    rows = [
        SubjectResult(
            subject=subject, class_noun="cat", photos=5, pictures=20, scores={"clip_i": value, "pres": 1 - value},
            prompt_deviation={"clip_i": 0.02}, seconds_per_picture=1.5, bytes=2_100_000, training_seconds=300,
        )
        for subject, value in values.items()
    ]  # fmt: skip
    settings = {
        "metrics": ["clip_i", "pres"],
        "subjects_expected": 3,
        "prompt_text": "without token",
        "references": "the photos",
    }
    content = {
        "name": name, "protocol": "toyland", "encoders": {"clip": clip}, "settings": settings, "subjects": rows,
        "set_scores": {"fid": 321.5}, "portraitist_version": "0", **changes,
    }  # fmt: skip
    return Result(**content)  # type: ignore[arg-type]


LORA = result("lora", {"a": 0.8, "b": 0.7, "c": 0.9})
KRONA = result("krona", {"a": 0.7, "b": 0.7, "d": 0.1})


def test_a_result_comes_back_from_its_file(tmp_path: Path) -> None:
    LORA.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == LORA
    (tmp_path / "other.json").write_text("{}")
    for name in ("other.json", "nowhere.json"):
        with pytest.raises(BadFile, match=name):
            Result.load(tmp_path / name)


def test_means_are_over_subjects() -> None:
    assert LORA.metrics() == ["clip_i", "pres"]
    interval = LORA.interval("clip_i")
    assert (interval.mean, interval.count) == (pytest.approx(0.8), 3)
    assert 0.69 < interval.low < 0.8 < interval.high < 0.91
    assert LORA.deviation("clip_i") == pytest.approx(0.1)


def test_shared_subjects_are_compared() -> None:
    clip_i, pres = compare(LORA, KRONA)
    assert (clip_i.metric, clip_i.subjects) == ("clip_i", 2)
    assert clip_i.difference == pytest.approx(0.05)
    assert clip_i.win_rate == pytest.approx(0.75)
    # Lower is better of PRES, and it is lower here.
    assert pres.difference == pytest.approx(-0.05)
    assert pres.win_rate == pytest.approx(0.75)
    assert "| CLIP-I | +0.050 | +0.000 to +0.100 | 75% | 2 |" in comparison_table([clip_i], "lora", "krona")


def test_other_encoders_are_refused_with_both_names() -> None:
    with pytest.raises(BadConfig) as caught:
        compare(LORA, result("krona", {"a": 0.7}, L14))
    assert B32.name in str(caught.value)
    assert L14.name in str(caught.value)


def test_another_preprocessing_is_another_encoder() -> None:
    squeezed = B32.model_copy(update={"preprocessing": "squeezed to 224 x 224"})
    with pytest.raises(BadConfig, match="squeezed"):
        compare(LORA, result("krona", {"a": 0.7}, squeezed))


def test_the_same_weights_in_another_place_are_the_same_encoder() -> None:
    moved = B32.model_copy(update={"name": "/models/clip"})
    assert len(compare(LORA, result("krona", {"a": 0.7}, moved))) == 2


@pytest.mark.parametrize(
    "changes",
    [{"protocol": "faces"}, {"settings": {**LORA.settings, "prompt_text": "with token"}}],
)
def test_other_rules_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadConfig, match="evaluate both"):
        compare(LORA, result("krona", {"a": 0.7}, **changes))


def test_results_without_a_common_subject_are_refused() -> None:
    with pytest.raises(BadConfig, match="no subject in common"):
        compare(LORA, result("krona", {"d": 0.7}))


def test_other_prompts_are_refused_whatever_the_protocol_is_named() -> None:
    def made_of(*texts: str) -> Result:
        rows = [row.model_copy(update={"prompts": digest_prompts(texts)}) for row in LORA.subjects]
        return LORA.model_copy(update={"subjects": rows})

    assert compare(made_of("a cat", "a dog"), made_of("a dog", "a cat", "a cat"))
    assert compare(made_of("a cat"), LORA)  # whose prompts nobody knows
    with pytest.raises(BadConfig, match="pictures of a were made of other prompts"):
        compare(made_of("a cat"), made_of("a cat", "a dog"))


def test_subjects_that_a_mean_leaves_out_are_named() -> None:
    rows = list(LORA.subjects)
    missing = {"face_sim": "no face found in the pictures"}
    rows[1] = rows[1].model_copy(update={"missing": missing})
    changed = LORA.model_copy(update={"subjects": rows})
    assert changed.unmeasured() == ["Face Sim of b (no face found in the pictures)"]
    assert "in no mean: Face Sim of b (no face found in the pictures)" in markdown(changed)
    rows = [row.model_copy(update={"missing": missing}) for row in rows]
    everybody = LORA.model_copy(update={"subjects": rows})
    assert everybody.unmeasured() == ["Face Sim (no face found in the pictures)"]
    assert "Not measured" not in markdown(LORA)


def test_the_report_says_what_was_found_and_how() -> None:
    text = markdown(KRONA)
    assert "3 of 3 subjects, 60 pictures" in text
    assert "| CLIP-I (higher is better) | 0.500 |" in text
    assert "| FID | 321.50 |" in text
    assert "2.1 MB | 5 min 0 s | 1.5 s |" in text
    assert B32.revision in text
    assert "on part of the subjects" in markdown(result("one", {"a": 0.5}))
