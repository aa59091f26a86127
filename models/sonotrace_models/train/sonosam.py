"""Stages 1b and 1c: SonoSAM (paper, 2.2.1).

First LiteMedSAM's prompt encoder and mask decoder learn clicks on ultrasound, on embeddings of its frozen encoder that were
computed once. They start from the published weights, or from a student's. Then the encoder is trained too, which the paper
leaves for later: sixteen times the work per image.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn

from sonotrace_models.data.augment import Appearance
from sonotrace_models.data.embeddings import Embeddings, mirrored
from sonotrace_models.data.fields import random_view, warp, warp_ids
from sonotrace_models.data.pack import Pack
from sonotrace_models.data.sampling import Sampler, truths
from sonotrace_models.evaluate.segmenters import OnlineTeacher, Teacher
from sonotrace_models.nets.decoder import Decoder
from sonotrace_models.nets.sonosam import SonoSam, SonoSamLite
from sonotrace_models.train.interactive import Prompting, interactive_loss
from sonotrace_models.train.precision import reduced
from sonotrace_models.train.run import Run, Schedule
from sonotrace_models.train.student import validate
from sonotrace_models.weights import read_weights, with_weights


@dataclass
class SonoSamConfig:
    """Stage 1b: SonoSAM's decoder on frozen embeddings."""

    pack: Path = Path("work/pack")
    embeddings: Path = Path("work/embeddings")
    folder: Path = Path("work/runs/sonosam")
    start: Path | None = None
    """Weights to start from instead of LiteMedSAM's: of this stage, or of a student, whose decoder also started from
    LiteMedSAM's and has learnt clicks."""
    objects_per_image: int = 2
    prompting: Prompting = field(default_factory=Prompting)
    schedule: Schedule = field(default_factory=lambda: Schedule(steps=4000, batch=6, learning_rate=1e-4, ema=0.996))


@dataclass
class WholeSonoSamConfig:
    """Stage 1c: all of SonoSAM, with its encoder."""

    pack: Path = Path("work/pack")
    start: Path = Path("work/runs/sonosam/best.pt")
    folder: Path = Path("work/runs/sonosam-whole")
    objects_per_image: int = 2
    prompting: Prompting = field(default_factory=Prompting)
    schedule: Schedule = field(
        default_factory=lambda: Schedule(
            steps=4000, batch=4, learning_rate=4e-5, ema=0.996, validate_every=1000, compiled=False
        )
    )


def _start(decoder: Decoder, path: Path) -> None:
    """Loads the weights of a decoder of this stage, or of a student's."""
    if any(name.startswith("encoder.") for name in read_weights(path)):
        decoder.load_coarser(with_weights(SonoSamLite(), path).decoder)
    else:
        with_weights(decoder, path)


class OnEmbeddings(nn.Module):
    """The decoder's loss on embeddings."""

    def __init__(self, decoder: Decoder, prompting: Prompting) -> None:
        super().__init__()
        self.decoder, self.prompting = decoder, prompting
        self.generator, self.numbers = Generator(), np.random.default_rng()

    def forward(self, embedding: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """`embedding` [batch, 256, 64, 64]; `truth` [batch * objects, 256, 256], image by image."""
        rows = embedding.repeat_interleave(len(truth) // len(embedding), 0)
        return interactive_loss(
            lambda prompt: self.decoder(rows, None, None, prompt),
            truth,
            self.decoder.mask_side,
            self.prompting,
            self.generator,
            self.numbers,
        )


class OnImages(nn.Module):
    """The whole network's loss on images."""

    def __init__(self, net: SonoSam, prompting: Prompting) -> None:
        super().__init__()
        self.net = net
        self.on_embeddings = OnEmbeddings(net.decoder, prompting)

    def forward(self, grey: Tensor, extent: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """`grey` [batch, 1, 256, 256] in [0, 1]; `extent` [batch, 2]: valid columns and rows."""
        return self.on_embeddings(self.net.embed(grey, extent), truth)

    def train(self, mode: bool = True) -> "OnImages":
        """Batch normalisation keeps LiteMedSAM's statistics: the batches are too small for new ones."""
        super().train(mode)
        for module in self.net.encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def train_sonosam(config: SonoSamConfig) -> None:
    """Runs stage 1b."""
    pack = Pack(config.pack)
    embeddings = Embeddings(config.embeddings, pack)
    teacher = SonoSam()
    net = teacher.decoder
    if config.start is not None:
        _start(net, config.start)
    objective = OnEmbeddings(net, config.prompting)
    run = Run(config.folder, config, config.schedule, net, objective)
    objective.generator, objective.numbers = run.generators()
    sampler = Sampler(pack, objective.numbers, only=embeddings.images)
    if config.schedule.compiled:
        net.compile()

    def judge() -> tuple[float, dict[str, float]]:
        teacher.decoder = run.kept
        with reduced(run.device):
            return validate(Teacher(teacher, embeddings), pack, None)

    for _ in run.steps(judge):
        images = sampler.draw(config.schedule.batch)
        objects = sampler.objects(images, config.objects_per_image)
        keys = [(index, (index, True) in embeddings.at and bool(objective.numbers.random() < 0.5)) for index in images]
        _grey, ids = sampler.pixels(images, run.device)
        for at, (index, is_mirrored) in enumerate(keys):
            if is_mirrored:
                ids[at] = mirrored(ids[at], pack.items[index].columns)
        loss, logged = run.net(embeddings.get(keys).to(run.device).float(), truths(ids, objects))
        run.backward(loss, **logged)


def train_whole_sonosam(config: WholeSonoSamConfig) -> None:
    """Runs stage 1c."""
    pack = Pack(config.pack)
    net = SonoSam()
    net.load(config.start)
    objective = OnImages(net, config.prompting)
    run = Run(config.folder, config, config.schedule, net, objective)
    generator, numbers = run.generators()
    objective.on_embeddings.generator, objective.on_embeddings.numbers = generator, numbers
    sampler = Sampler(pack, numbers)
    appearance = Appearance().to(run.device)
    whole = torch.full((config.schedule.batch, 2), 256, device=run.device)

    def judge() -> tuple[float, dict[str, float]]:
        with reduced(run.device):
            return validate(OnlineTeacher(run.kept, pack), pack, None)

    for _ in run.steps(judge):
        images = sampler.draw(config.schedule.batch)
        objects = sampler.objects(images, config.objects_per_image)
        grey, ids = sampler.pixels(images, run.device)
        view = random_view(generator, len(images))
        grey, ids = appearance(warp(grey, view), generator), warp_ids(ids, view)
        truth = truths(ids, objects)
        # An augmented view may fill the whole square.
        loss, logged = run.net(grey, whole, truth)
        run.backward(loss, **logged)
