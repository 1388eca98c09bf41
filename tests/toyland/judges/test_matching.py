"""The encoder of pictures and texts: captions find their pictures."""

import torch

from portraitist.bases import Base
from portraitist.evaluation.encoders import PictureNetwork
from portraitist.toyland.judges.config import JudgesConfig
from portraitist.toyland.judges.matching import MatchingTask, tokenize
from portraitist.toyland.judges.stream import as_seen
from portraitist.toyland.text_encoder import Matching, build_text_encoder, retrieval_accuracy
from portraitist.toyland.world.painting import Painter
from portraitist.training.networks.machine import Machine


def build(base: Base, painter: Painter, config: JudgesConfig) -> MatchingTask:
    torch.manual_seed(0)
    tokenizer = base.pipeline.tokenizer
    text = build_text_encoder(config.clip, tokenizer)
    return MatchingTask(Matching(text, PictureNetwork((8, 16), 16)), tokenizer, painter, config.clip, Machine())


def test_a_step_depends_on_its_number_alone(base: Base, painter: Painter, config: JudgesConfig) -> None:
    task = build(base, painter, config)
    first, again, other = (float(task.step(step, 0)["loss"].detach()) for step in (0, 0, 1))
    assert first == again != other


def test_embeddings_are_not_decayed(base: Base, painter: Painter, config: JudgesConfig) -> None:
    task = build(base, painter, config)
    undecayed = {name for group in task.groups() if not group.weight_decay for name in group.parameters}
    assert "logit_scale" in undecayed
    assert any("token_embedding" in name for name in undecayed)
    with torch.no_grad():
        task.networks.logit_scale.fill_(100.0)
    task.after_step()
    assert float(task.networks.logit_scale.detach().exp()) <= 100.01


def test_tokens_are_padded_and_cut(base: Base) -> None:
    ids = tokenize(base.pipeline.tokenizer, ["a cat", "a person " * 60], 20)
    assert ids.shape == (2, 20)


def test_retrieval_counts_pictures_that_find_their_own_caption(
    base: Base, painter: Painter, config: JudgesConfig
) -> None:
    task = build(base, painter, config)
    networks = task.networks.eval()
    ids = tokenize(base.pipeline.tokenizer, ["a cat", "a robot", "a person", "a monster"], 20)
    pictures = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    accuracy = retrieval_accuracy(networks, lambda rows: as_seen(pictures[rows], 16), ids, among=2)
    assert accuracy in (0.0, 0.25, 0.5, 0.75, 1.0)
