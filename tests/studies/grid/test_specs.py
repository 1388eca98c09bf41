"""A run's key: what decides it, and nothing else."""

from dataclasses import replace

from portraitist.studies.grid.specs import RunSpec, digest, without_places

SPEC = RunSpec(
    base="tiny",
    fingerprint="f",
    scorer="colours",
    encoders={},
    metrics=(),
    scorer_digest="d",
    subject="cat",
    photos="/here",
    photos_digest="p",
    photo_count=1,
    class_noun="cat",
    token="sks",
    recipe={"method": "instant", "seed": 0, "hypernetwork": "/nets/main", "weights": "w"},
    prompts=("a photo of a {}",),
    class_prompts=(),
    pictures=1,
    sampling={},
    checkpoints=0,
)


def test_where_files_lie_decides_nothing() -> None:
    moved = replace(SPEC, photos="/there", recipe={**SPEC.recipe, "hypernetwork": "/elsewhere"})
    assert moved.key == SPEC.key
    assert replace(SPEC, recipe={**SPEC.recipe, "weights": "v"}).key != SPEC.key
    assert replace(SPEC, judged_by="others").key != SPEC.key


def test_runs_from_before_photos_could_be_spared_keep_their_key() -> None:
    plain = replace(SPEC, recipe={"method": "lora", "seed": 0})
    names = ("photos", "scorer", "encoders", "judged_by")
    assert plain.key == digest({name: value for name, value in vars(plain).items() if name not in names})


def test_folders_are_called_by_their_names_in_tables() -> None:
    assert without_places(SPEC.recipe)["hypernetwork"] == "main"
    assert without_places({"method": "lora"}) == {"method": "lora"}
