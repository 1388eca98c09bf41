"""The encoder of pictures and texts: captions find their pictures."""

import torch

from portraitist.bases import Base
from portraitist.evaluation.encoders import PictureNetwork
from portraitist.toyland.judges.config import JudgesConfig
from portraitist.toyland.judges.matching import MatchingTask, retrieval_accuracy, tokenize
from portraitist.toyland.text_encoder import build_text_encoder
from portraitist.toyland.world.painting import Painter


def build(base: Base, painter: Painter, config: JudgesConfig) -> MatchingTask:
    torch.manual_seed(0)
    tokenizer = base.pipeline.tokenizer
    text = build_text_encoder(config.clip, tokenizer)
    return MatchingTask(text, PictureNetwork((8, 16), 16), tokenizer, painter, config.clip)


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
        task.logit_scale.fill_(100.0)
    task.after_step()
    assert float(task.logit_scale.detach().exp()) <= 100.01


def test_tokens_are_padded_and_cut(base: Base) -> None:
    ids = tokenize(base.pipeline.tokenizer, ["a cat", "a person " * 60], 20)
    assert ids.shape == (2, 20)


def test_retrieval_counts_pictures_that_find_their_own_caption(
    base: Base, painter: Painter, config: JudgesConfig
) -> None:
    task = build(base, painter, config)
    task.text.eval(), task.network.eval()
    ids = tokenize(base.pipeline.tokenizer, ["a cat", "a robot", "a person", "a monster"], 20)
    pictures = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    accuracy = retrieval_accuracy(task.text, task.network, pictures, ids, among=2, side=16)
    assert accuracy in (0.0, 0.25, 0.5, 0.75, 1.0)
