"""How fast the larger stages are trained on a machine, measured on random pictures before time is spent."""

import torch

from portraitist.toyland.autoencoder import AutoencoderTask, build_autoencoder
from portraitist.toyland.config import ToylandConfig
from portraitist.toyland.denoiser import DenoiserTask, build_denoiser
from portraitist.toyland.latents import Encoded
from portraitist.toyland.pictures import HeldPictures
from portraitist.toyland.text_encoder import build_text_encoder, without_projection
from portraitist.toyland.tokenizer import train_tokenizer
from portraitist.training.loop.contracts import Task
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.settings import NetworkSettings, loop_config
from portraitist.training.networks.throughput import measure

MEASURED = ("autoencoder", "denoiser")


def samples_a_second(stage: str, config: ToylandConfig, resolution: int, machine: Machine, batch_size: int) -> float:
    """Return how many samples a second a stage is trained on."""
    change = {"batch_size": batch_size}
    if stage == "autoencoder":
        settings: NetworkSettings = config.autoencoder.model_copy(update=change)
        config = config.model_copy(update={"autoencoder": settings})
        task = _autoencoder(config, resolution, machine)
    else:
        settings = config.denoiser.model_copy(update=change)
        config = config.model_copy(update={"denoiser": settings})
        task = _denoiser(config, resolution, machine)
    with machine.at_speed():
        return measure(task, loop_config(settings, machine), batch_size)


def _autoencoder(config: ToylandConfig, resolution: int, machine: Machine) -> Task:
    settings = config.autoencoder
    images = torch.randint(0, 256, (2 * settings.batch_size, resolution, resolution, 3), dtype=torch.uint8)
    model = build_autoencoder(settings, resolution).to(machine.device)
    return AutoencoderTask(model, HeldPictures(images.to(machine.device)), settings, resolution, machine)


def _denoiser(config: ToylandConfig, resolution: int, machine: Machine) -> Task:
    settings, written = config.denoiser, config.text_encoder
    side, channels = resolution // config.autoencoder.factor, config.autoencoder.latent_channels
    tokenizer = train_tokenizer(["a"], (), written.vocabulary, written.tokens)
    text = without_projection(build_text_encoder(written, tokenizer)).to(machine.device)
    unet = build_denoiser(settings, side, channels, written.width).to(machine.device)
    count = 2 * settings.batch_size
    ids = torch.randint(0, len(tokenizer), (count, 1, written.tokens), dtype=torch.int16)
    data = Encoded(torch.randn(count, channels, side, side).half().to(machine.device), ids.to(machine.device))
    return DenoiserTask(unet, text, data, ids[0, 0], settings, machine)
