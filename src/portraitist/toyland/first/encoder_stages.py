"""The stages that train the encoders of evaluations, at the bench at which toyland is made."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from portraitist.evaluation.encoders import PictureNetwork, save_small
from portraitist.toyland.first.bench import Bench
from portraitist.toyland.first.encoders import IdentityTask, ViewsTask, identity_accuracy
from portraitist.toyland.first.text_encoder import ContrastiveTask, build_text_encoder, retrieval_accuracy
from portraitist.toyland.first.world.dataset import write_dataset
from portraitist.toyland.first.world.portraits import choose_identities, load_portraits, write_portraits

_AMONG = 100
_SIZE = 64


def draw_portraits(bench: Bench) -> None:
    """Draw portraits of training and test identities, and captioned pictures of test identities."""
    config, folder, workers = bench.config.portraits, bench.folder, bench.workers
    write_portraits(folder / "portraits", config.identities, config.each, "train", config.seed, workers=workers)
    write_portraits(folder / "test-portraits", config.test_identities, 2, "test", config.seed, "photo", workers=workers)
    captions = bench.config.world.captions_per_picture
    write_dataset(folder / "test", config.test_pictures, "test", config.seed, captions, workers=workers)


def train_clip_encoder(bench: Bench) -> None:
    """Train pictures and captions into one space; print how often test pictures find their captions."""
    config, target = bench.config.clip_encoder, _target(bench, "clip")
    if target is None:
        return
    tokenizer, data = bench.tokenizer(), bench.data("train")
    torch.manual_seed(config.seed)
    text = build_text_encoder(config, tokenizer).to(bench.device)
    network = PictureNetwork(config.picture_channels, config.embedding).to(bench.device)
    ids = bench.token_ids("train", data, tokenizer)
    bench.train(ContrastiveTask(text, network, data.images, ids, config, shrink=1), config, "clip-encoder")
    text.eval(), network.eval()
    test = bench.data("test")
    chosen = differing([captions[0] for captions in test.captions], _AMONG)
    ids = bench.token_ids("test", test, tokenizer)[torch.from_numpy(chosen)]
    accuracy = retrieval_accuracy(text, network, test.images[chosen], ids, _AMONG, shrink=1)
    facts = {"test_caption_top1_among_100": accuracy}
    bench.report("clip-encoder", facts)
    save_small(target, network, _SIZE, facts, text.cpu(), tokenizer)


def train_identity_encoder(bench: Bench) -> None:
    """Train who is who; print how often test identities are recognised."""
    config, target = bench.config.identity_encoder, _target(bench, "identity")
    if target is None:
        return
    torch.manual_seed(config.seed)
    network = PictureNetwork(config.channels, config.embedding).to(bench.device)
    portraits, _ = load_portraits(bench.folder / "portraits")
    identities = choose_identities(len(portraits), "train", bench.config.portraits.seed)
    bench.train(IdentityTask(network, portraits, identities, config), config, "identity-encoder")
    _save_recognising(bench, network, target, "identity-encoder")


def train_dino_encoder(bench: Bench) -> None:
    """Train what looks alike, without labels; print how often test identities are recognised all the same."""
    config, target = bench.config.dino_encoder, _target(bench, "dino")
    if target is None:
        return
    torch.manual_seed(config.seed)
    network = PictureNetwork(config.channels, config.embedding).to(bench.device)
    bench.train(ViewsTask(network, bench.data("train").images, config), config, "dino-encoder")
    _save_recognising(bench, network, target, "dino-encoder")


def _target(bench: Bench, name: str) -> Path | None:
    """Return where an encoder goes; None if it is there."""
    folder = bench.folder / "encoders" / f"toyland-{name}"
    return None if (folder / "config.json").exists() else folder


def _save_recognising(bench: Bench, network: PictureNetwork, target: Path, stage: str) -> None:
    portraits, names = load_portraits(bench.folder / "test-portraits")
    accuracy = identity_accuracy(network.eval(), portraits)
    facts = {f"test_identity_top1_among_{len(names)}": accuracy}
    bench.report(stage, facts)
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
