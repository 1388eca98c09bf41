"""What files say of themselves: typed, whatever they claim; and one rule for whether two bases are the same."""

from typing import Any

import pytest

from portraitist.adapters import BaseFacts, Provenance, require_one_base
from portraitist.errors import BaseMismatch


def made_for(fingerprint: str | None, dtype: str = "float32") -> Provenance:
    return Provenance({"base": {"name": "some", "fingerprint": fingerprint, "dtype": dtype}})


def test_facts_are_typed() -> None:
    known = Provenance(
        {
            "base": {"name": "toyland", "family": "sd", "fingerprint": "1-2-3", "dtype": "float32", "resolution": 64},
            "subject": {"name": "Tom", "class": "cat", "token": "sks"},
            "trigger": "sks cat",
            "recipe": {"steps": 4},
            "training": {"seconds": 1.5},
            "portraitist_version": "1.0",
            "merged": ["anything"],
        }
    )
    assert known.base == BaseFacts("toyland", "sd", "1-2-3", "float32", 64)
    assert [(one.name, one.class_noun, one.token) for one in known.subjects] == [("Tom", "cat", "sks")]
    assert (known.trigger, known.recipe["steps"], known.training["seconds"]) == ("sks cat", 4, 1.5)
    assert known.version == "1.0"
    several = Provenance({"subjects": [{"token": "sks"}, {"token": "olo"}, 3]})
    assert [one.token for one in several.subjects] == ["sks", "olo"]


@pytest.mark.parametrize("odd", [None, 3, "text", ["list"], {"resolution": "wide"}])
def test_odd_claims_count_as_not_said(odd: Any) -> None:
    known = Provenance({"base": odd, "subject": odd, "recipe": odd, "training": odd})
    assert known.base in (None, BaseFacts())
    assert all(one.token == "" for one in known.subjects)
    assert "steps" not in {**known.recipe, **known.training}


@pytest.mark.parametrize(
    ("first", "second", "likeness"),
    [
        (("1-2-3", "float32"), ("1-2-3", "float32"), "same"),
        (("1-2-3", "float32"), ("1-2-9", "bfloat16"), "same"),
        (("1-2-3", "float32"), ("1-4-5", "float32"), "different"),
        (("1-2-3", "float16"), ("1-4-5", "bfloat16"), "indistinguishable"),
        (("1-2-3", "float16"), ("7-4-5", "bfloat16"), "different"),
        (("1-2-3", "float32"), (None, "float32"), "unknown"),
    ],
)
def test_one_rule_says_whether_bases_are_the_same(
    first: tuple[str, str], second: tuple[str | None, str], likeness: str
) -> None:
    one, other = made_for(*first), made_for(*second)
    assert one.base is not None
    assert one.base.likeness(other.base) == likeness
    if likeness == "different":
        with pytest.raises(BaseMismatch, match=r"some \(fingerprint .*use --force"):
            require_one_base([one, Provenance(), other])
        require_one_base([one, other], force=True)
    else:
        require_one_base([one, Provenance(), other])


def test_every_pair_counts() -> None:
    with pytest.raises(BaseMismatch):
        require_one_base([made_for(None), made_for("1-2-3"), made_for("1-2-4"), made_for("1-9-4")])


def test_a_sum_keeps_base_and_words() -> None:
    first, second = made_for("1-2-3").copy(trigger="sks cat", recipe={}), Provenance({"trigger": "olo robot"})
    total = Provenance.of_sum([second, first])
    assert total.facts == {"base": first.facts["base"], "trigger": "olo robot, sks cat"}
