"""Evaluations end to end on a tiny base with random encoders: candidates found, pictures made once, scores right."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portraitist.adapters import Adapter, find_layers, save_adapter
from portraitist.bases import Base, load_base
from portraitist.bases.examples import get_example
from portraitist.errors import BadConfig, BadFile, BadPhoto
from portraitist.evaluation import (
    Evaluation,
    MetricInputs,
    Protocol,
    check_comparable,
    find_candidates,
    flatten,
    load_protocol,
    load_tools,
    sampling_config,
    score_set,
    score_subject,
)
from portraitist.evaluation.candidates import read_with_prompts, without_token
from portraitist.evaluation.encoders import embed_captions, embed_images, raw_embeddings
from portraitist.evaluation.metrics import frechet_distance, paired_cosine, pairwise_cosine
from portraitist.evaluation.report import picture_sheet
from portraitist.generation.notes import noted_prompt

CAT = get_example("cat-1b7ecd")


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@pytest.fixture(scope="module")
def adapter(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an adapter file for the bundled cat that changes every picture."""
    specs = find_layers(base.components, ["unet.*to_q"])
    made = Adapter.create("lora", {"rank": 2}, specs, torch.Generator().manual_seed(0))
    for tensor in made.named_parameters().values():
        tensor.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    made.provenance.facts["base"] = {"name": base.name, "fingerprint": base.fingerprint}
    made.provenance.facts["subject"] = {"class": "cat", "token": "zwx"}
    made.provenance.facts["training"] = {"steps": 3, "seconds": 4.5}
    path = tmp_path_factory.mktemp("adapters") / f"{CAT.name}.safetensors"
    save_adapter(made, path)
    return path


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    whole = load_protocol("toyland")
    few = {name: texts[:2] if name == "scenes" else texts[:1] for name, texts in whole.prompts.items()}
    return whole.model_copy(update={"prompts": few, "images_per_prompt": 2, "class_images": 3, "steps": 2})


@pytest.fixture(scope="module")
def evaluation(
    adapter: Path, protocol: Protocol, random_encoders: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Evaluation:
    return Evaluation(
        name="lora",
        protocol=protocol,
        candidates=find_candidates(adapter, None, protocol),
        tools=load_tools(random_encoders, protocol.metrics),
        metrics=protocol.metrics,
        output=tmp_path_factory.mktemp("evaluation"),
        config=sampling_config(protocol),
    )


def test_an_adapter_is_measured(evaluation: Evaluation, base: Base) -> None:
    result = evaluation.run(base)
    (row,) = result.subjects
    assert (row.subject, row.class_noun, row.photos, row.pictures) == (CAT.name, "cat", 5, 8)
    assert set(row.scores) == {"face_sim", "dino", "clip_i", "clip_t", "pres", "div"}
    assert row.training_seconds == 4.5
    assert row.bytes == evaluation.candidates[0].adapter.stat().st_size  # type: ignore[union-attr]
    assert row.seconds_per_picture is not None
    assert row.seconds_per_picture > 0
    assert set(row.prompt_deviation) == {"face_sim", "dino", "clip_i", "clip_t"}
    assert set(result.encoders) == {"clip", "dino", "identity", "perceptual"}
    assert picture_sheet(evaluation).height > 250


def test_scores_are_those_of_the_pictures_in_the_folder(evaluation: Evaluation, base: Base) -> None:
    scores = evaluation.run(base).subjects[0].scores
    wanted, wanted_of_class = evaluation.plan(evaluation.candidates[0])
    assert [one.prompt for one in wanted[:2]] == ["a photo of a zwx cat on the beach"] * 2
    assert wanted[0].text == "a photo of a cat on the beach"
    pictures = [Image.open(one.path) for one in wanted]
    assert noted_prompt(wanted[0].path) == wanted[0].prompt
    photos = [Image.open(path) for path in CAT.photos]
    dino, clip = evaluation.tools["dino"], evaluation.tools["clip"]
    real = embed_images(dino, photos)
    assert scores["dino"] == pytest.approx(float(pairwise_cosine(embed_images(dino, pictures), real).mean()))
    of_class = embed_images(dino, [Image.open(one.path) for one in wanted_of_class])
    assert scores["pres"] == pytest.approx(float(pairwise_cosine(of_class, real).mean()))
    texts = embed_captions(clip, [one.text for one in wanted])
    assert scores["clip_t"] == pytest.approx(float(paired_cosine(embed_images(clip, pictures), texts).mean()), abs=1e-6)


def test_an_interrupted_run_goes_on(evaluation: Evaluation, base: Base) -> None:
    before = evaluation.run(base)
    wanted, _ = evaluation.plan(evaluation.candidates[0])
    kept = wanted[0].path.stat().st_mtime_ns
    wanted[3].path.unlink()
    after = evaluation.run(base)
    assert wanted[0].path.stat().st_mtime_ns == kept
    assert after.subjects[0].scores == pytest.approx(before.subjects[0].scores, abs=1e-3)


def test_pictures_made_otherwise_are_not_mixed(evaluation: Evaluation, base: Base) -> None:
    evaluation.run(base)
    other = replace(evaluation, config=sampling_config(evaluation.protocol, steps=3))
    with pytest.raises(BadConfig, match="sampling"):
        other.run(base)
    with pytest.raises(BadConfig, match="--base"):
        evaluation.run(None)


def test_pictures_of_other_prompts_are_not_reused(evaluation: Evaluation, base: Base) -> None:
    evaluation.run(base)
    (candidate,) = evaluation.candidates

    def refusal(**changes: object) -> str:
        changed = replace(candidate, **{key: value for key, value in changes.items() if key == "token"})
        subject = candidate.subject.model_copy(update={key: changes[key] for key in changes if key != "token"})
        with pytest.raises(BadConfig) as caught:
            replace(evaluation, candidates=[replace(changed, subject=subject)]).run(base)
        return str(caught.value)

    assert "prompts cat-1b7ecd 0 'a photo of a zwx cat on the beach', not" in refusal(prompts=("styles", "scenes"))
    assert "'a photo of a cat', not 'a photo of a dog'" in refusal(class_noun="dog")
    assert "a photo of a sks cat on the beach" in refusal(token="sks")
    more = evaluation.protocol.model_copy(update={"images_per_prompt": 3})
    assert replace(evaluation, protocol=more).run(base).subjects[0].pictures == 12
    for path in (evaluation.output / "pictures" / CAT.name).glob("???-2.png"):
        path.unlink()


def test_the_token_may_be_read_too(evaluation: Evaluation, base: Base) -> None:
    plain, kept = (replace(evaluation, prompt_text=text).run(base) for text in ("without token", "with token"))  # type: ignore[arg-type]
    assert plain.subjects[0].scores["clip_t"] != kept.subjects[0].scores["clip_t"]
    assert plain.subjects[0].scores["clip_i"] == kept.subjects[0].scores["clip_i"]


def test_given_pictures_are_measured_without_a_base(evaluation: Evaluation, base: Base, tmp_path: Path) -> None:
    evaluation.run(base)
    made = evaluation.output / "pictures" / CAT.name
    for path in made.glob("*.png"):
        (tmp_path / CAT.name).mkdir(exist_ok=True)
        (tmp_path / CAT.name / path.name).write_bytes(path.read_bytes())
    candidates = find_candidates(tmp_path, None, evaluation.protocol, token="zwx")
    given = replace(evaluation, candidates=candidates, output=tmp_path / "out").run()
    expected = {name: value for name, value in evaluation.run(base).subjects[0].scores.items() if name != "pres"}
    assert given.subjects[0].scores == pytest.approx(expected, abs=1e-6)
    assert given.subjects[0].bytes is None
    assert given.unmeasured() == ["PRES (no class pictures)"]
    check_comparable([given, evaluation.run(base)])
    kept = replace(evaluation, candidates=candidates, output=tmp_path / "out", prompt_text="with token").run()
    assert kept.subjects[0].scores["clip_t"] != given.subjects[0].scores["clip_t"]
    assert kept.subjects[0].scores["clip_i"] == given.subjects[0].scores["clip_i"]


def test_an_outline_is_comparable_as_its_result_is(evaluation: Evaluation, base: Base) -> None:
    result, outline = evaluation.run(base), evaluation.outline()
    assert outline.subjects[0].scores == {}
    check_comparable([outline, result])
    texts = {name: ("a painting of a {}", *texts[1:]) for name, texts in evaluation.protocol.prompts.items()}
    for changes in ({"prompts": texts}, {"class_prompt": "a painting of a {}"}):
        other = replace(evaluation, protocol=evaluation.protocol.model_copy(update=changes))
        with pytest.raises(BadConfig, match="other prompts in lora"):
            check_comparable([other.outline(), result])
    more = evaluation.protocol.model_copy(update={"images_per_prompt": 3})
    check_comparable([replace(evaluation, protocol=more).outline(), result])


def test_damaged_notes_are_named(evaluation: Evaluation, base: Base) -> None:
    evaluation.run(base)
    pictures = evaluation.output / "pictures"
    for notes in (pictures / "settings.json", pictures / CAT.name / "timing.json"):
        whole = notes.read_text()
        for damaged in (whole[:-9], "[]"):
            notes.write_text(damaged)
            with pytest.raises(BadFile, match=f"{notes.name} is damaged"):
                evaluation.run(base)
        notes.write_text(whole)


def test_prompts_come_from_a_list_or_are_missing(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (40, 30), "red").save(tmp_path / name)
    assert read_with_prompts(tmp_path)[1] == []
    lines = [{"file_name": name, "text": f"a sks cat {name}"} for name in ("a.jpg", "b.jpg")]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert read_with_prompts(tmp_path)[1] == ["a sks cat a.jpg", "a sks cat b.jpg"]
    (tmp_path / "metadata.jsonl").write_text('{"file": 1}')
    with pytest.raises(BadFile, match="metadata"):
        read_with_prompts(tmp_path)


def test_the_token_is_taken_out() -> None:
    assert without_token("a sks dog in the snow", "sks") == "a dog in the snow"
    assert without_token("a Sks dog, asks sks", "sks") == "a dog, asks "
    assert without_token("a sks orange on an ohwx plate", "sks") == "an orange on an ohwx plate"
    assert without_token("An ohwx dog", "ohwx") == "A dog"


def test_candidates_that_fit_nothing_are_named(tmp_path: Path, adapter: Path, protocol: Protocol) -> None:
    with pytest.raises(BadFile, match="nowhere"):
        find_candidates(tmp_path / "nowhere", None, protocol)
    with pytest.raises(BadPhoto, match="not a folder"):
        find_candidates(adapter, tmp_path / "nowhere", protocol)
    (tmp_path / "stranger").mkdir()
    with pytest.raises(BadConfig, match="stranger"):
        find_candidates(tmp_path, None, protocol)
    renamed = tmp_path / "mine.safetensors"
    renamed.write_bytes(adapter.read_bytes())
    with pytest.raises(BadConfig, match="--photos"):
        find_candidates(renamed, None, protocol)
    for name in (f"{CAT.name}-lora", f"{CAT.name}-of-mine"):
        named = renamed.rename(tmp_path / f"{name}.safetensors")
        (found,) = find_candidates(named, None, protocol)
        assert found.subject.name == CAT.name
        named.rename(renamed)
    with pytest.raises(BadConfig, match="--photos"):
        find_candidates(renamed.rename(tmp_path / f"{CAT.name}x.safetensors"), None, protocol)
    renamed = tmp_path / f"{CAT.name}x.safetensors"
    (found,) = find_candidates(renamed, CAT.folder, protocol)
    assert (found.subject.name, found.subject.class_noun, found.token) == (CAT.name, "cat", "zwx")


def test_a_role_without_an_encoder_is_named(random_encoders: dict[str, str]) -> None:
    with pytest.raises(BadConfig, match="--encoder inception=NAME"):
        load_tools(random_encoders, ["dino", "fid"])


def test_encoders_that_cannot_do_what_is_asked_are_named(random_encoders: dict[str, str]) -> None:
    with pytest.raises(BadConfig, match="does not read text, which CLIP-T needs"):
        load_tools({**random_encoders, "clip": random_encoders["dino"]}, ["clip_t"])
    assert set(load_tools({"clip": random_encoders["dino"]}, ["clip_i"])) == {"clip"}
    with pytest.raises(BadConfig, match="did you mean clip"):
        load_tools({**random_encoders, "clipp": "x"}, ["dino"])


def test_faces_need_a_detector_or_none(random_encoders: dict[str, str]) -> None:
    protocol = load_protocol("faces")
    encoders = {**protocol.encoders, **random_encoders}
    with pytest.raises(BadConfig, match=r"YuNet with --encoder detector=FILE .* --encoder detector=none"):
        load_tools(encoders, protocol.metrics)
    assert "detector" not in load_tools({**encoders, "detector": "none"}, protocol.metrics)
    assert "detector" not in load_tools(encoders, ["dino", "clip_t"])


def test_fid_is_of_all_pictures_together(random_encoders: dict[str, str]) -> None:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(12)]
    tools = load_tools({**random_encoders, "inception": random_encoders["dino"]}, ["fid"])
    materials = [MetricInputs("a", images[:3], images[3:6]), MetricInputs("b", images[6:9], images[9:])]
    real, made = images[:3] + images[6:9], images[3:6] + images[9:]
    encoder = tools["inception"]
    expected = frechet_distance(raw_embeddings(encoder, made), raw_embeddings(encoder, real))
    assert score_set(materials, tools, ["fid"]) == {"fid": pytest.approx(expected)}
    assert score_subject(materials[0], {}, ["fid"]) == {}


class HalfBlind:
    """A detector that finds a face in red pictures only."""

    def crop(self, image: Image.Image, aligned: bool) -> Image.Image | None:
        red, green, _ = image.resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        return image if red > green else None


def test_pictures_without_a_face_are_counted(random_encoders: dict[str, str]) -> None:
    tools = {**load_tools(random_encoders, ["face_sim"]), "detector": HalfBlind()}
    red, green = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "green")
    found = score_subject(MetricInputs("a", [red, green], [red, green, red, red]), tools, ["face_sim"])["face_sim"]
    assert found.value == pytest.approx(1.0, abs=1e-6)
    assert found.extras == {"face_sim_misses_zero": pytest.approx(0.75), "face_misses": pytest.approx(0.25)}
    nobody = score_subject(MetricInputs("a", [green], [red]), tools, ["face_sim"])
    assert (flatten(nobody), nobody["face_sim"].missing) == ({}, "no face found in the photos")
    missed = score_subject(MetricInputs("a", [red], [green]), tools, ["face_sim"])
    assert flatten(missed) == {"face_misses": 1.0, "face_sim_misses_zero": 0.0}
    assert missed["face_sim"].missing == "no face found in the pictures"


def test_the_result_says_whether_faces_were_looked_for(evaluation: Evaluation) -> None:
    assert "whole pictures" in evaluation.outline().settings["faces"]
    tools = {**evaluation.tools, "detector": replace(evaluation.tools["dino"], name="yunet")}
    found = replace(evaluation, tools=tools).outline()
    assert found.settings["faces"] == "found by the detector"
    with pytest.raises(BadConfig, match=r"Face Sim of .* without any as detector"):
        check_comparable([found, evaluation.outline()])
    other = replace(evaluation, tools=tools, metrics=["dino"]).outline()
    check_comparable([other, evaluation.outline()])


def test_likeness_by_any_other_features(random_encoders: dict[str, str]) -> None:
    encoders = {**random_encoders, "features": random_encoders["dino"]}
    red, green = (Image.new("RGB", (32, 32), colour) for colour in ("red", "green"))
    tools = load_tools(encoders, ["feature_sim", "dino"])
    found = score_subject(MetricInputs("a", [red], [red, green]), tools, ["feature_sim", "dino"])
    assert found["feature_sim"].value == pytest.approx(found["dino"].value)
    with pytest.raises(BadConfig, match="no encoder was chosen for the role 'features'"):
        load_tools(random_encoders, ["feature_sim"])
