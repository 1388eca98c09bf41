"""The stages that train the encoders of evaluations, in the workshop in which toyland is made."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from portraitist.evaluation.encoders import PictureNetwork, save_small
from portraitist.toyland.first.encoders import IdentityTask, ViewsTask, identity_accuracy
from portraitist.toyland.first.text_encoder import ContrastiveTask, build_text_encoder, retrieval_accuracy
from portraitist.toyland.first.world.dataset import write_dataset
from portraitist.toyland.first.world.portraits import choose_identities, load_portraits, write_portraits

if TYPE_CHECKING:
    from portraitist.toyland.first.making import Workshop

_AMONG = 100
_SIZE = 64


def draw_portraits(workshop: "Workshop") -> None:
    """Draw portraits of training and test identities, and captioned pictures of test identities."""
    config, folder, workers = workshop.config.portraits, workshop.folder, workshop.workers
    write_portraits(folder / "portraits", config.identities, config.each, "train", config.seed, workers=workers)
    write_portraits(folder / "test-portraits", config.test_identities, 2, "test", config.seed, "photo", workers=workers)
    captions = workshop.config.world.captions_per_picture
    write_dataset(folder / "test", config.test_pictures, "test", config.seed, captions, workers=workers)


def train_clip_encoder(workshop: "Workshop") -> None:
    """Train pictures and captions into one space; print how often test pictures find their captions."""
    config, target = workshop.config.clip_encoder, _target(workshop, "clip")
    if target is None:
        return
    tokenizer, data = workshop.tokenizer(), workshop.data("train")
    torch.manual_seed(config.seed)
    text = build_text_encoder(config, tokenizer).to(workshop.device)
    network = PictureNetwork(config.picture_channels, config.embedding).to(workshop.device)
    ids = workshop.token_ids("train", data, tokenizer)
    workshop.train(ContrastiveTask(text, network, data.images, ids, config, shrink=1), config, "clip-encoder")
    text.eval(), network.eval()
    test = workshop.data("test")
    chosen = differing([captions[0] for captions in test.captions], _AMONG)
    ids = workshop.token_ids("test", test, tokenizer)[torch.from_numpy(chosen)]
    accuracy = retrieval_accuracy(text, network, test.images[chosen], ids, _AMONG, shrink=1)
    facts = {"test_caption_top1_among_100": accuracy}
    workshop.report("clip-encoder", facts)
    save_small(target, network, _SIZE, facts, text.cpu(), tokenizer)


def train_identity_encoder(workshop: "Workshop") -> None:
    """Train who is who; print how often test identities are recognised."""
    config, target = workshop.config.identity_encoder, _target(workshop, "identity")
    if target is None:
        return
    torch.manual_seed(config.seed)
    network = PictureNetwork(config.channels, config.embedding).to(workshop.device)
    portraits, _ = load_portraits(workshop.folder / "portraits")
    identities = choose_identities(len(portraits), "train", workshop.config.portraits.seed)
    workshop.train(IdentityTask(network, portraits, identities, config), config, "identity-encoder")
    _save_recognising(workshop, network, target, "identity-encoder")


def train_dino_encoder(workshop: "Workshop") -> None:
    """Train what looks alike, without labels; print how often test identities are recognised all the same."""
    config, target = workshop.config.dino_encoder, _target(workshop, "dino")
    if target is None:
        return
    torch.manual_seed(config.seed)
    network = PictureNetwork(config.channels, config.embedding).to(workshop.device)
    workshop.train(ViewsTask(network, workshop.data("train").images, config), config, "dino-encoder")
    _save_recognising(workshop, network, target, "dino-encoder")


def _target(workshop: "Workshop", name: str) -> Path | None:
    """Return where an encoder goes; None if it is there."""
    folder = workshop.folder / "encoders" / f"toyland-{name}"
    return None if (folder / "config.json").exists() else folder


def _save_recognising(workshop: "Workshop", network: PictureNetwork, target: Path, stage: str) -> None:
    portraits, names = load_portraits(workshop.folder / "test-portraits")
    accuracy = identity_accuracy(network.eval(), portraits)
    facts = {f"test_identity_top1_among_{len(names)}": accuracy}
    workshop.report(stage, facts)
    save_small(target, network, _SIZE, facts)


def differing(captions: Sequence[str], among: int) -> np.ndarray:
    """Choose pictures whose captions differ within every `among` consecutive ones; return their indices."""
    chosen: list[int] = []
    group: set[str] = set()
    for index, caption in enumerate(captions):
        if len(group) == among:
            group = set()
        if caption not in group:
            group.add(caption)
            chosen.append(index)
    return np.array(chosen)
