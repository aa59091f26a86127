"""Stage 1b: SonoSAM: LiteMedSAM's prompt encoder and mask decoder learn clicks on ultrasound; its encoder is frozen
(paper, 2.2.1)."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn

from sonotrace_models.data.embeddings import Embeddings, mirrored
from sonotrace_models.data.pack import Pack
from sonotrace_models.evaluate.segmenters import Teacher
from sonotrace_models.nets.decoder import Decoder
from sonotrace_models.nets.sonosam import SonoSam
from sonotrace_models.train.interactive import Prompting, interactive_loss
from sonotrace_models.train.run import Run, Schedule
from sonotrace_models.train.sampling import Sampler
from sonotrace_models.train.student import validate


@dataclass
class SonoSamConfig:
    """Configuration."""

    pack: Path = Path("work/pack")
    embeddings: Path = Path("work/embeddings")
    folder: Path = Path("work/runs/sonosam")
    objects_per_image: int = 2
    prompting: Prompting = field(default_factory=Prompting)
    schedule: Schedule = field(default_factory=lambda: Schedule(steps=4000, batch=6, learning_rate=1e-4, ema=0.996))


class Interactive(nn.Module):
    """The teacher's loss on embeddings."""

    def __init__(self, decoder: Decoder, prompting: Prompting) -> None:
        super().__init__()
        self.decoder, self.prompting = decoder, prompting
        self.generator, self.numbers = Generator(), np.random.default_rng()

    def forward(self, embedding: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, float]]:
        """`embedding` [batch, 256, 64, 64]; `truth` [batch * objects, 256, 256], those of an image together."""
        rows = embedding.repeat_interleave(len(truth) // len(embedding), 0)
        return interactive_loss(
            lambda prompt: self.decoder(rows, None, None, prompt),
            truth,
            self.decoder.mask_side,
            self.prompting,
            self.generator,
            self.numbers,
        )


def train_sonosam(config: SonoSamConfig) -> None:
    """Runs the stage."""
    pack = Pack(config.pack)
    embeddings = Embeddings(config.embeddings, pack)
    teacher = SonoSam()
    net = teacher.decoder
    objective = Interactive(net, config.prompting)
    run = Run(config.folder, config, config.schedule, net, objective)
    objective.generator, objective.numbers = run.generators()
    sampler = Sampler(pack, objective.numbers)
    if config.schedule.compiled:
        net.compile()
    for _ in run.steps():
        images = sampler.draw(config.schedule.batch)
        objects = sampler.objects(images, config.objects_per_image)
        keys = [(index, (index, True) in embeddings.at and bool(objective.numbers.random() < 0.5)) for index in images]
        _grey, ids = sampler.pixels(images)
        for at, (index, is_mirrored) in enumerate(keys):
            if is_mirrored:
                ids[at] = mirrored(ids[at], pack.items[index].columns)
        truth = torch.cat([ids[at] == id_ for at, wanted in enumerate(objects) for id_ in wanted])
        loss, logged = run.net(embeddings.get(keys).to(run.device), truth.to(run.device))
        run.backward(loss, **logged)
        if run.is_due:
            teacher.decoder = run.kept
            with torch.autocast(run.device.type, torch.bfloat16):
                value, figures = validate(Teacher(teacher, embeddings), pack, None)
            run.validated(value, **figures)
