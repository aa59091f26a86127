"""Stage 2a: the student's encoder learns to regress the teacher's embedding, pooled to its own grid.

This precedes training with masks, so that the decoder, which starts from LiteMedSAM's weights, gets features as in its own
training.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonotrace_models.data.augment import Appearance
from sonotrace_models.data.embeddings import Embeddings, mirrored
from sonotrace_models.data.pack import Pack
from sonotrace_models.data.sampling import Sampler
from sonotrace_models.nets.encoder import GRID, Encoder
from sonotrace_models.nets.layers import LayerNorm2d
from sonotrace_models.train.run import Run, Schedule

HELD_OUT = 128
"""Number of val images for validation."""


@dataclass
class EncoderConfig:
    """Stage 2a: the student's encoder."""

    pack: Path = Path("work/pack")
    embeddings: Path = Path("work/embeddings")
    folder: Path = Path("work/runs/encoder")
    sets: list[str] | None = None
    """Sets to learn from; all by default."""
    schedule: Schedule = field(
        default_factory=lambda: Schedule(steps=2000, learning_rate=8e-4, weight_decay=0.05, validate_every=250)
    )


class Regression(nn.Module):
    """Squared error over the variance, plus one minus cosine similarity."""

    def __init__(self, encoder: Encoder, variance: float) -> None:
        super().__init__()
        self.encoder, self.variance = encoder, variance

    def forward(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return self.errors(self.encoder(image).embedding.float(), target)

    def errors(self, embedding: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Both terms."""
        error = F.mse_loss(embedding, target) / self.variance
        return error, 1 - F.cosine_similarity(embedding, target, dim=1).mean()


def pooled(embedding: Tensor) -> Tensor:
    """[batch, 256, 64, 64] to the student's [batch, 256, 16, 16]."""
    return F.adaptive_avg_pool2d(embedding, GRID)


def train_encoder(config: EncoderConfig) -> None:
    """Runs the stage."""
    pack = Pack(config.pack)
    pack.require(config.sets)
    embeddings = Embeddings(config.embeddings, pack)
    held_out = [index for index in pack.select("val", config.sets) if (index, False) in embeddings.at]
    held_out = [int(i) for i in np.random.default_rng(0).permutation(held_out)[:HELD_OUT]]
    held_target = pooled(embeddings.get([(index, False) for index in held_out]).float())
    net = Encoder()
    net.adopt(pack.normalisation)
    with torch.no_grad():
        # The teacher's channels differ widely in spread, so the last normalisation starts with their statistics.
        last = cast(LayerNorm2d, net.neck[-1])
        last.weight.copy_(held_target.std((0, 2, 3)))
        last.bias.copy_(held_target.mean((0, 2, 3)))
    variance = (held_target - held_target.mean((0, 2, 3), keepdim=True)).square().mean().item()
    objective = Regression(net, variance)
    run = Run(config.folder, config, config.schedule, net, objective)
    generator, numbers = run.generators()
    sampler = Sampler(pack, numbers, config.sets, only=embeddings.images)
    appearance = Appearance().to(run.device)
    if config.schedule.compiled:
        net.compile()

    @torch.no_grad()
    def validate() -> tuple[float, dict[str, float]]:
        images = np.stack([pack.images[index] for index in held_out]).astype(np.float32) / 255
        image = net.normalise(torch.from_numpy(images)[:, None].to(run.device))
        given = torch.cat([run.kept(part).embedding for part in image.split(16)])
        error, angle = objective.errors(given, held_target.to(run.device))
        figures = {"val_error": error.item(), "val_angle": angle.item(), "val_images": float(len(held_out))}
        return -error.item(), figures

    for _ in run.steps(validate):
        keys = [
            (index, (index, True) in embeddings.at and bool(numbers.random() < 0.5))
            for index in sampler.draw(config.schedule.batch)
        ]
        grey, _ids = sampler.pixels([index for index, _ in keys], run.device)
        for at, (index, is_mirrored) in enumerate(keys):
            if is_mirrored:
                grey[at] = mirrored(grey[at], pack.items[index].columns)
        target = pooled(embeddings.get(keys).to(run.device).float())
        image = net.normalise(appearance(grey, generator))
        error, angle = run.net(image.contiguous(memory_format=torch.channels_last), target)
        run.backward(error + angle, error=error, angle=angle)
