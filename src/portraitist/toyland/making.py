"""Making toyland: stages, each resumable and each in its folder, up to one pipeline folder."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from portraitist.errors import BadFile
from portraitist.evaluation.encoders import PictureNetwork
from portraitist.locks import held
from portraitist.toyland.autoencoder import AutoencoderTask, build_autoencoder, reconstruction_error
from portraitist.toyland.budgets import Budget
from portraitist.toyland.config import ToylandConfig
from portraitist.toyland.decoder import DecoderTask
from portraitist.toyland.denoiser import DenoiserTask, build_denoiser, validation_error
from portraitist.toyland.identifiers import place_identifiers
from portraitist.toyland.latents import Encoded, encode_pictures, unit_scale
from portraitist.toyland.pictures import Dataset, hold_pictures, open_pictures, write_pictures
from portraitist.toyland.pipeline import assemble, save_pipeline
from portraitist.toyland.text_encoder import (
    ContrastiveTask,
    Matching,
    build_text_encoder,
    retrieval_accuracy,
    shrunk,
    without_projection,
)
from portraitist.toyland.tokenizer import tokenize, train_tokenizer
from portraitist.toyland.worlds import World
from portraitist.training.loop.loop import Loop, Task
from portraitist.training.loop.processes import Processes
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.reports import add_facts
from portraitist.training.networks.settings import NetworkSettings
from portraitist.training.networks.training import Attend, train_network, trained_weights

STAGES = ("pictures", "autoencoder", "decoder", "text-encoder", "latents", "denoiser", "pipeline")
_SCALE_PICTURES = 2000


@dataclass(frozen=True)
class Workshop:
    """The folder in which toyland is made: pictures, one folder a stage, the finished pipeline.

    Attributes:
        folder: Where everything goes; an interrupted stage continues from here.
        config: Every setting.
        world: What is on the pictures.
        machine: What the networks are trained on.
        holds_pictures: Keep pictures in the device's memory, painted there, instead of on disk.
        workers: Processes that choose, describe and, for the disk, paint pictures.
        budget: Time for the stages that are trained, instead of the configuration's steps.
        attend: Given a stage and its loop before it runs, returns what is called after each of its steps.
    """

    folder: Path
    config: ToylandConfig
    world: World
    machine: Machine
    holds_pictures: bool = False
    workers: int = 1
    budget: Budget | None = None
    attend: Attend | None = None
    _data: dict[str, Dataset] = field(default_factory=dict, init=False, repr=False)

    def make(self, stages: tuple[str, ...] = STAGES) -> None:
        """Run the given stages in order; a finished stage is passed over. Each is one process' work at a time.

        Raises:
            InUse: If another process is at a stage.
        """
        steps: dict[str, Callable[[], None]] = {
            "pictures": self.draw_pictures,
            "autoencoder": self.train_autoencoder,
            "decoder": self.train_decoder,
            "text-encoder": self.train_text_encoder,
            "latents": self.encode_latents,
            "denoiser": self.train_denoiser,
            "pipeline": self.join_pipeline,
        }
        for stage in stages:
            with held(self.folder, f"the stage {stage}", stage) if self._is_first else nullcontext():
                steps[stage]()
            Processes.current().wait()

    def draw_pictures(self) -> None:
        """Draw the pictures to disk; those held in memory are painted when they are asked for."""
        if self.holds_pictures or not self._is_first:
            return
        config = self.config.pictures
        for split, count in (("train", config.train), ("validation", config.validation)):
            folder = self.folder / "pictures" / split
            write_pictures(self.world, folder, count, split, config.seed, config.captions, self.workers)

    def train_autoencoder(self) -> None:
        """Train the autoencoder; note how well it restores other pictures, and the scale of its latents."""
        if _is_saved(self.folder / "autoencoder" / "vae"):
            return
        task = self.autoencoder_task()
        model = task.model
        self._train(task, self.config.autoencoder, "autoencoder")
        if self._is_first:
            self._report_restoring("autoencoder", model.eval())
            pictures = self.data("train").pictures
            latents = encode_pictures(model, pictures, self.machine.precision, self._encoded_at_once, _SCALE_PICTURES)
            model.register_to_config(scaling_factor=unit_scale(latents))
            model.to(memory_format=torch.contiguous_format).save_pretrained(self.folder / "autoencoder" / "vae")

    def autoencoder_task(self) -> AutoencoderTask:
        """Return the autoencoder's task with an untrained network."""
        config, resolution = self.config.autoencoder, self.world.resolution
        torch.manual_seed(config.seed)
        model = build_autoencoder(config, resolution).to(self.machine.device)
        return AutoencoderTask(model, self.data("train").pictures, config, resolution, self.machine)

    def train_decoder(self) -> None:
        """Refine the decoder; the encoder, and with it all latents, stay."""
        if _is_saved(self.folder / "decoder" / "vae"):
            return
        model = self._vae("autoencoder")
        torch.manual_seed(self.config.decoder.seed)
        task = DecoderTask(model, self.data("train").pictures, self.config.decoder, self.machine)
        self._train(task, self.config.decoder, "decoder")
        if self._is_first:
            self._report_restoring("decoder", model.eval())
            model.to(memory_format=torch.contiguous_format).save_pretrained(self.folder / "decoder" / "vae")

    def train_text_encoder(self) -> None:
        """Train the tokenizer and the text encoder, then give identifiers a place among the words it knows."""
        config, target = self.config.text_encoder, self.folder / "text-encoder"
        if _is_saved(target / "text_encoder"):
            return
        data, validation = self.data("train"), self.data("validation")
        if self._is_first and not (target / "tokenizer").exists():
            captions = (caption for row in data.captions for caption in row)
            tokenizer = train_tokenizer(captions, self.world.identifiers, config.vocabulary, config.tokens)
            tokenizer.save_pretrained(target / "tokenizer")
        Processes.current().wait()
        tokenizer = self.tokenizer()
        torch.manual_seed(config.seed)
        text = build_text_encoder(config, tokenizer)
        networks = Matching(text, PictureNetwork(config.picture_channels, config.embedding))
        token_ids = tokenize(tokenizer, data.captions)
        self._train(ContrastiveTask(networks, data.pictures, token_ids, config, self.machine), config, "text-encoder")
        if self._is_first:
            networks.eval()
            read = tokenize(tokenizer, validation.captions)[:, 0]
            accuracy = retrieval_accuracy(
                networks,
                lambda rows: shrunk(validation.pictures, np.arange(rows.start, rows.stop), config.shrink),
                read,
            )
            plain = without_projection(text).to("cpu")
            known = torch.unique(token_ids.long())
            visible = place_identifiers(plain, tokenizer, self.world.identifiers, self.world.nouns, known, config.seed)
            facts = {"validation_top1_among_100": accuracy, "least_visible_identifier": min(visible.values())}
            add_facts(self.folder, "text-encoder", facts)
            plain.save_pretrained(target / "text_encoder")

    def encode_latents(self) -> None:
        """Encode every picture once, and write captions as tokens."""
        target = self.folder / "latents"
        if not self._is_first or (target / "validation.safetensors").exists():
            return
        tokenizer, model = self.tokenizer(), self._vae("autoencoder").eval()
        for split in ("train", "validation"):
            data = self.data(split)
            latents = encode_pictures(model, data.pictures, self.machine.precision, self._encoded_at_once)
            latents = (latents.float() * model.config.scaling_factor).half()
            Encoded(latents, tokenize(tokenizer, data.captions)).save(target / f"{split}.safetensors")

    def train_denoiser(self) -> None:
        """Train the denoiser, as far as its time goes; more time goes on."""
        task = self.denoiser_task()
        self._train(task, self.config.denoiser, "denoiser")
        if self._is_first:
            add_facts(self.folder, "denoiser", {"validation_loss": self.validate(task)})

    def denoiser_task(self) -> DenoiserTask:
        """Return the denoiser's task with an untrained network."""
        config, text = self.config.denoiser, self._text_encoder()
        torch.manual_seed(config.seed)
        unet = self._build_denoiser().to(self.machine.device)
        data = Encoded.load(self.folder / "latents" / "train.safetensors", self.machine.device)
        return DenoiserTask(unet, text, data, tokenize(self.tokenizer(), [[""]])[0, 0], config, self.machine)

    def validate(self, task: DenoiserTask) -> float:
        """Return a denoiser's weighted error on validation pictures and fixed noise."""
        task.unet.eval()
        data = Encoded.load(self.folder / "latents" / "validation.safetensors", self.machine.device)
        return validation_error(task, data)

    def join_pipeline(self) -> None:
        """Save the finished pipeline."""
        self.export(self.folder / "pipeline")

    def export(self, target: Path) -> int:
        """Save a pipeline with the averaged denoiser of its last checkpoint, finished or not; return its step.

        Raises:
            BadFile: If the denoiser has no checkpoint yet.
        """
        weights, step = trained_weights(self.folder / "denoiser")
        if self._is_first:
            unet = self._build_denoiser()
            unet.load_state_dict(weights)
            refined = _is_saved(self.folder / "decoder" / "vae")
            pipeline = assemble(
                self._vae("decoder" if refined else "autoencoder"), self._text_encoder(), self.tokenizer(), unet
            )
            save_pipeline(pipeline, target)
        return step

    def data(self, split: str) -> Dataset:
        """Return the pictures of a split with captions and labels."""
        if split not in self._data:
            config, device = self.config.pictures, self.machine.device
            if self.holds_pictures:
                count = {"train": config.train, "validation": config.validation}[split]
                self._data[split] = hold_pictures(
                    self.world, count, split, config.seed, config.captions, device, self.workers
                )
            else:
                self._data[split] = open_pictures(self.folder / "pictures" / split, device)
        return self._data[split]

    def tokenizer(self) -> CLIPTokenizer:
        """Return the trained tokenizer."""
        folder = self.folder / "text-encoder" / "tokenizer"
        self._require(folder, "text-encoder")
        return CLIPTokenizer.from_pretrained(folder)

    @property
    def _is_first(self) -> bool:
        return Processes.current().is_first

    @property
    def _encoded_at_once(self) -> int:
        return 4 if self.machine.device == "cpu" else 512  # a CPU's cache is small

    def _train(self, task: Task, settings: NetworkSettings, stage: str) -> Loop:
        minutes = self.budget.minutes(stage) if self.budget is not None else None
        return train_network(task, settings, self.folder, stage, self.machine, minutes, self.attend)

    def _report_restoring(self, stage: str, model: AutoencoderKL) -> None:
        error = reconstruction_error(model, self.data("validation").pictures)
        add_facts(self.folder, stage, {"validation_mse": error})

    def _vae(self, stage: str) -> AutoencoderKL:
        folder = self.folder / stage / "vae"
        self._require(folder, stage)
        model = AutoencoderKL.from_pretrained(folder).to(self.machine.device)
        return model.to(memory_format=torch.channels_last)

    def _text_encoder(self) -> CLIPTextModel:
        folder = self.folder / "text-encoder" / "text_encoder"
        self._require(folder, "text-encoder")
        return CLIPTextModel.from_pretrained(folder, dtype=torch.float32).to(self.machine.device)

    def _build_denoiser(self) -> UNet2DConditionModel:
        autoencoder = self.config.autoencoder
        side = self.world.resolution // autoencoder.factor
        width = self.config.text_encoder.width
        return build_denoiser(self.config.denoiser, side, autoencoder.latent_channels, width)

    def _require(self, folder: Path, stage: str) -> None:
        if not folder.exists():
            raise BadFile(f"{folder} is not there yet; run the stage {stage} first")


def _is_saved(folder: Path) -> bool:
    """Say whether a network was saved there; its configuration is written first, so its weights are asked for."""
    return any(folder.glob("*.safetensors"))
