"""Making toyland: its stages, each resumable, into one pipeline folder; its exam; the encoders that evaluate on it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.files import write_aside
from portraitist.generation import SamplingConfig
from portraitist.photos import PAGE_SUFFIX, encode_for_page
from portraitist.toyland.first import encoder_stages
from portraitist.toyland.first.autoencoder import (
    AutoencoderTask,
    build_autoencoder,
    encode_pictures,
    reconstruction_error,
)
from portraitist.toyland.first.bench import Bench, tokenize
from portraitist.toyland.first.denoiser import DenoiserTask, build_denoiser, build_scheduler
from portraitist.toyland.first.exam import choose_guidance, examine, grade
from portraitist.toyland.first.examiner import Examiner, ExaminerTask, Reading, reconstruct
from portraitist.toyland.first.grids import GridWriter, sample_grid
from portraitist.toyland.first.text_encoder import (
    ContrastiveTask,
    build_text_encoder,
    retrieval_accuracy,
    without_projection,
)
from portraitist.toyland.first.world.captions import IDENTIFIERS
from portraitist.toyland.first.world.dataset import write_dataset
from portraitist.toyland.first.world.identities import KINDS
from portraitist.toyland.identifiers import place_identifiers
from portraitist.training.loop.checkpoints import Checkpoint
from portraitist.training.loop.files import LAST
from portraitist.training.loop.loop import Callback, Loop, LoopConfig

BASE_STAGES = ("pictures", "autoencoder", "text-encoder", "denoiser", "examiner", "exam")
ENCODER_STAGES = ("portraits", "clip-encoder", "identity-encoder", "dino-encoder")
STAGES = (*BASE_STAGES, *ENCODER_STAGES)


@dataclass(frozen=True)
class Workshop(Bench):
    """The bench at which all of toyland is made, up to the finished pipeline, its exam and its encoders.

    Attributes:
        grid_every: Steps of the denoiser between two grids of sampled pictures; 0 draws none.
        questions: Questions of the exam; a tenth of them choose the guidance.
    """

    grid_every: int = 1000
    questions: int = 2000

    def make(self, stages: tuple[str, ...] = STAGES) -> None:
        """Run the given stages in order; a finished stage is passed over."""
        steps: dict[str, Callable[[], None]] = {
            "pictures": self.draw_pictures,
            "autoencoder": self.train_autoencoder,
            "text-encoder": self.train_text_encoder,
            "denoiser": self.train_denoiser,
            "examiner": self.train_examiner,
            "exam": self.hold_exam,
            "portraits": partial(encoder_stages.draw_portraits, self),
            "clip-encoder": partial(encoder_stages.train_clip_encoder, self),
            "identity-encoder": partial(encoder_stages.train_identity_encoder, self),
            "dino-encoder": partial(encoder_stages.train_dino_encoder, self),
        }
        for stage in stages:
            steps[stage]()

    def draw_pictures(self) -> None:
        """Draw the training and validation pictures."""
        world = self.config.world
        for split, count in (("train", world.pictures), ("validation", world.validation_pictures)):
            write_dataset(
                self.folder / split, count, split, world.seed, world.captions_per_picture, workers=self.workers
            )

    def train_autoencoder(self) -> None:
        """Train the autoencoder, then encode every picture."""
        config = self.config.autoencoder
        target = self.folder / "vae"
        if not (target / "config.json").exists():
            torch.manual_seed(config.seed)
            model = build_autoencoder(config).to(self.device)
            task = AutoencoderTask(model, self.data("train").images, config)
            loop_config = LoopConfig(
                steps=config.steps,
                schedule="cosine",
                warmup_steps=200,
                average_decay=config.average_decay,
                precision=self.precision,
            )
            self.finish(Loop(task, loop_config, self.folder / "autoencoder", description="autoencoder"))
            model = model.to(memory_format=torch.contiguous_format).eval()
            images = self.data("validation").images
            self.report("autoencoder", {"validation_mse": reconstruction_error(model, images)})
            means, _ = encode_pictures(model, self.data("train").images[:2000])
            model.register_to_config(scaling_factor=round(float(1 / means.float().std()), 5))
            model.save_pretrained(target)
        self._encode_pictures(AutoencoderKL.from_pretrained(target).to(self.device).eval())

    def _encode_pictures(self, model: AutoencoderKL) -> None:
        path = self.folder / "latents.safetensors"
        if path.exists():
            return
        means, deviations = encode_pictures(model, self.data("train").images)
        scale = model.config.scaling_factor
        with write_aside(path) as temporary:
            save_file({"mean": means * scale, "deviation": deviations * scale}, temporary)

    def train_text_encoder(self) -> None:
        """Train the tokenizer and the text encoder, then give identifiers a place among the words it knows."""
        config = self.config.text_encoder
        if (self.folder / "text_encoder" / "config.json").exists():
            return
        tokenizer = self.tokenizer()
        torch.manual_seed(config.seed)
        text = build_text_encoder(config, tokenizer).to(self.device)
        pictures = PictureNetwork(config.picture_channels, config.embedding).to(self.device)
        data = self.data("train")
        token_ids = self.token_ids("train", data, tokenizer)
        task = ContrastiveTask(text, pictures, data.images, token_ids, config)
        self.train(task, config, "text-encoder")
        text.eval(), pictures.eval()
        data = self.data("validation")
        accuracy = retrieval_accuracy(text, pictures, data.images, self.token_ids("validation", data, tokenizer))
        plain = without_projection(text)
        known = torch.unique(token_ids.long())
        visible = place_identifiers(plain, tokenizer, IDENTIFIERS, KINDS, known, config.seed)
        facts = {"validation_top1_among_100": accuracy, "least_visible_identifier": min(visible.values())}
        self.report("text-encoder", facts)
        plain.save_pretrained(self.folder / "text_encoder")

    def train_denoiser(self, callbacks: tuple[Callback, ...] = ()) -> None:
        """Train the denoiser and save the pipeline."""
        config = self.config.denoiser
        tokenizer = CLIPTokenizer.from_pretrained(self.folder / "tokenizer")
        text = self._text_encoder()
        torch.manual_seed(config.seed)
        unet = build_denoiser(config, self.config.autoencoder, text.config.hidden_size).to(self.device)
        stored = load_file(self.folder / "latents.safetensors")
        data = self.data("train")
        task = DenoiserTask(
            unet,
            text,
            (stored["mean"], stored["deviation"]),
            self.token_ids("train", data, tokenizer),
            tokenize(tokenizer, [""])[0],
            config,
        )
        loop_config = LoopConfig(
            steps=config.steps,
            schedule=config.schedule,
            warmup_steps=config.warmup_steps,
            average_decay=config.average_decay,
            precision=self.precision,
            log_every=100,
        )
        loop = Loop(task, loop_config, self.folder / "denoiser", callbacks, description="denoiser")
        if self.grid_every:
            grids = GridWriter(self._assemble(unet), loop, self.folder / "denoiser" / "grids", self.grid_every)
            loop.callbacks = (*callbacks, grids)
        self.finish(loop)
        self.save_pipeline(unet)

    def export_checkpoint(self, target: Path) -> int:
        """Save a pipeline with the averaged denoiser of the last checkpoint, finished or not; return its step.

        Raises:
            BadFile: If the denoiser has no checkpoint yet.
        """
        checkpoint = Checkpoint.load(self.folder / "denoiser" / LAST)
        width = self._text_encoder().config.hidden_size
        unet = build_denoiser(self.config.denoiser, self.config.autoencoder, width)
        unet.load_state_dict(checkpoint.average or checkpoint.parameters)
        self.save_pipeline(unet, target)
        return checkpoint.step

    def save_pipeline(self, unet: UNet2DConditionModel, target: Path | None = None) -> Path:
        """Assemble the stages into a `StableDiffusionPipeline` folder in float16 and return it."""
        target = target or self.folder / "pipeline"
        pipeline = self._assemble(unet.cpu().to(memory_format=torch.contiguous_format))
        pipeline.to("cpu", torch.float16)
        pipeline.vae.register_to_config(_name_or_path="toyland")  # not the folder it was made in
        pipeline.save_pretrained(target, safe_serialization=True)
        return target

    def _assemble(self, unet: UNet2DConditionModel) -> StableDiffusionPipeline:
        """Put a pipeline together around a UNet."""
        return StableDiffusionPipeline(
            vae=AutoencoderKL.from_pretrained(self.folder / "vae").to(unet.device).eval(),
            text_encoder=self._text_encoder().to(unet.device).eval(),
            tokenizer=CLIPTokenizer.from_pretrained(self.folder / "tokenizer"),
            unet=unet,
            scheduler=build_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    def train_examiner(self) -> None:
        """Train the classifier that reads generated pictures."""
        config = self.config.examiner
        target = self.folder / "examiner"
        if (target / "config.json").exists():
            return
        data, validation = self.data("train"), self.data("validation")
        autoencoder = AutoencoderKL.from_pretrained(self.folder / "vae").to(self.device).eval()
        restored = reconstruct(autoencoder, data.images[: config.reconstructions])
        torch.manual_seed(config.seed)
        model = Examiner(config.channels, self.config.autoencoder.resolution).to(self.device)
        truth = [Reading.from_labels(labels) for labels in data.labels]
        task = ExaminerTask(model, data.images, truth, config, restored)
        self.train(task, config, "examiner")
        scores = grade([Reading.from_labels(labels) for labels in validation.labels], model.read(validation.images))
        self.report("examiner", {f"validation_{name}": score.accuracy for name, score in scores.items()})
        model.save(target)

    def hold_exam(self) -> None:
        """Choose the guidance, examine the pipeline and write the report, as JSON and as a table, and a grid."""
        pipeline = StableDiffusionPipeline.from_pretrained(
            self.folder / "pipeline", safety_checker=None, torch_dtype=torch.float32
        )
        pipeline.to(self.device)
        examiner = Examiner.load(self.folder / "examiner").to(self.device)
        target = self.folder / "exam"
        guidance, tried = choose_guidance(pipeline, examiner, count=max(1, self.questions // 10))
        report = examine(pipeline, examiner, self.questions, guidance=guidance, validation=self.data("validation"))
        report.save(target / "report.json")
        for candidate, trial in tried.items():
            trial.save(target / f"guidance-{candidate:g}.json")
        with write_aside(target / "report.md") as temporary:
            temporary.write_text(report.markdown())
        with write_aside(target / f"grid{PAGE_SUFFIX}") as temporary:
            grid = sample_grid(pipeline, config=SamplingConfig(guidance=guidance))
            temporary.write_bytes(encode_for_page(grid))

    def _text_encoder(self) -> CLIPTextModel:
        return CLIPTextModel.from_pretrained(self.folder / "text_encoder", dtype=torch.float32).to(self.device)
