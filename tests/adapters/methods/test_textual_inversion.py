import pytest
import torch
from torch import nn

from portraitist.adapters import Adapter, attached, find_layers
from portraitist.errors import BadConfig


@pytest.fixture
def components() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"text": nn.ModuleDict({"tokens": nn.Embedding(20, 6)})}


def make(components: dict[str, nn.Module], **config: object) -> Adapter:
    return Adapter.create("textual-inversion", config, find_layers(components, ["text.tokens"]), torch.Generator())


def test_tokens_start_as_their_starting_tokens(components: dict[str, nn.Module]) -> None:
    tokens = components["text"].tokens
    adapter = make(components, token_ids=(4, 9, 11), initial_ids=(1, 2))
    with attached(components, adapter):
        rows = tokens(torch.tensor([4, 9, 11, 3]))
    torch.testing.assert_close(rows, tokens.weight[[1, 2, 2, 3]])


def test_only_the_chosen_rows_change(components: dict[str, nn.Module]) -> None:
    tokens = components["text"].tokens
    adapter = make(components, token_ids=(4,))
    adapter.values["text.tokens"]["offset"].data.fill_(1.0)
    everything = torch.arange(20)
    with attached(components, adapter, scale=0.5):
        change = tokens(everything) - tokens.weight
    assert torch.equal(change.abs().sum(1) > 0, everything == 4)
    torch.testing.assert_close(change[4], torch.full((6,), 0.5))


@pytest.mark.parametrize("ids", [(), (3, 3), (-1,)])
def test_impossible_tokens(components: dict[str, nn.Module], ids: tuple[int, ...]) -> None:
    with pytest.raises(BadConfig, match="token_ids"):
        make(components, token_ids=ids)


def test_tokens_beyond_the_vocabulary(components: dict[str, nn.Module]) -> None:
    with pytest.raises(BadConfig, match="has 20 rows"):
        make(components, token_ids=(20,))
