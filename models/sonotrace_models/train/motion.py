"""Stage 3a: the tracker's motion, by itself: it needs the encoder's stem alone, so it learns many times faster so."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from sonotrace_models import SIZE
from sonotrace_models.data.loops import FRAMES, Loops
from sonotrace_models.data.pack import Pack
from sonotrace_models.data.sequences import Sequences, SequenceSource, Shares, origins_of
from sonotrace_models.evaluate.loops import OBJECTS, TEST_SEED
from sonotrace_models.evaluate.protocol import dice
from sonotrace_models.nets.encoder import Encoder, Textures
from sonotrace_models.nets.layers import double
from sonotrace_models.nets.motion import SIDE, Motion, moved
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracking import shares_of
from sonotrace_models.train.run import Run, Schedule
from sonotrace_models.weights import with_weights

VALIDATED_LOOPS = 12
LABEL_WEIGHT = 10.0
"""What labels that go astray count against cells: a boundary is a small part of a picture."""
DARK = 0.02
DARK_WEIGHT = 0.05
"""Grey level below which nothing is seen of a motion, and what it counts there."""


@dataclass
class MotionConfig:
    """Configuration."""

    pack: Path = Path("work/pack")
    loops: Path = Path("work/loops")
    student: Path = Path("work/runs/student/best.pt")
    start: Path | None = None
    """Weights to go on from."""
    folder: Path = Path("work/runs/motion")
    frames: int = 8
    gap_max: int = 2
    """Frames from one to the other of a pair, at the most."""
    shares: Shares = field(default_factory=Shares)
    schedule: Schedule = field(
        default_factory=lambda: Schedule(steps=3000, batch=6, learning_rate=1e-3, weight_decay=0.01)
    )


def weights_of(grey: Tensor) -> Tensor:
    """What each cell's motion counts: [frames, 256, 256] grey levels in [0, 1] to [frames, 64, 64]."""
    means = F.avg_pool2d(grey[:, None], SIZE // SIDE)[:, 0]
    return torch.where(means > DARK, 1.0, DARK_WEIGHT)


def flow_loss(cells: Tensor, now: Tensor, before: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """How far off a flow is: the mean distance, in cells, between the place that a cell shows and the place that the cell
    shows from which the flow says it came; once smooth at 0 for training, once as it is.

    Args:
        cells: [pairs, 2, 64, 64].
        now, before: [pairs, 64, 64, 2]: `origins` of both frames.
        weights: [pairs, 64, 64].
    """
    came = moved(before.permute(0, 3, 1, 2), cells)
    is_known = (now.abs() <= 1).all(-1) & (came.abs() <= 1).all(1)
    off = ((came - now.permute(0, 3, 1, 2)) * (SIDE / 2)).square().sum(1)
    counted = weights * is_known
    total = counted.sum().clamp(min=1)
    return ((off + 1e-3).sqrt() * counted).sum() / total, (off.detach().sqrt() * counted).sum() / total


def label_loss(cells: Tensor, now: Tensor, before: Tensor) -> Tensor:
    """Shares, [pairs, 11, 128, 128], that end up elsewhere than they should: mean over pixels."""
    flow = double(cells)
    return (moved(before, flow) - now).abs().sum(1).mean()


def motion_loss(cells: Tensor, drawn: Sequences, now: slice, before: slice) -> tuple[Tensor, float]:
    """The loss of flows between some frames of sequences and others, and their mean error in cells.

    Args:
        cells: [batch * frames, 2, 64, 64].
        now, before: these frames.
    """
    is_same = (drawn.scenes[:, now] == drawn.scenes[:, before]).flatten()
    weights = weights_of(drawn.grey[:, now].flatten(0, 1)) * is_same[:, None, None]
    loss, off = flow_loss(cells, drawn.origins[:, now].flatten(0, 1), drawn.origins[:, before].flatten(0, 1), weights)
    labels = [shares_of(drawn.ids[:, which].flatten(0, 1)) for which in (now, before)]
    return loss + LABEL_WEIGHT * label_loss(cells, *labels), off.item()


class Pairs(nn.Module):
    """The motion's loss over pairs of frames."""

    def __init__(self, motion: Motion, encoder: Encoder) -> None:
        super().__init__()
        self.motion = motion
        # Not a submodule: it is frozen, and not to be saved with the motion.
        self._encoder = [encoder]

    def forward(self, image: Tensor, drawn: Sequences, gap: int) -> tuple[Tensor, float]:
        """The loss, and the mean error in cells.

        Args:
            image: [batch, frame, 256, 256], normalised.
            drawn: what it was made of.
            gap: frames from one to the other of a pair; negative for pairs backwards in time.
        """
        (encoder,) = self._encoder
        batch, frames = image.shape[:2]
        with torch.no_grad():
            flat = encoder.textures(image.reshape(batch * frames, 1, SIZE, SIZE))
        textures = [part.reshape(batch, frames, *part.shape[1:]) for part in flat]
        now, before = slice(gap, None), slice(None, -gap)
        if gap < 0:
            now, before = slice(None, gap), slice(-gap, None)
        both = [Textures(*(part[:, which].flatten(0, 1) for part in textures)) for which in (now, before)]
        with torch.no_grad():
            # Each pair is told what a first look made of the pair before it.
            nothing = torch.zeros(batch, 1, 2, SIDE, SIDE, device=image.device)
            first = self.motion(*both, nothing.expand(-1, frames - abs(gap), -1, -1, -1).flatten(0, 1)).cells
            first = first.reshape(batch, -1, 2, SIDE, SIDE)
            last = torch.cat([nothing, first[:, :-1]] if gap > 0 else [first[:, 1:], nothing], 1)
        cells = self.motion(*both, last.flatten(0, 1)).cells
        return motion_loss(cells, drawn, now, before)


@torch.no_grad()
def validate(motion: Motion, encoder: Encoder, loops: Loops, most: int) -> dict[str, float]:
    """Mean error in pixels over loops, and the Dice of each object's true mask after a loop of motions alone: at
    end-systole before the real frame, and at the end."""
    off: list[float] = []
    overlaps: dict[tuple[str, str], list[float]] = {(name, at): [] for name in OBJECTS for at in ("systole", "end")}
    for at in tqdm(range(len(loops.patients))[:most], desc="loops", mininterval=5):
        loop = loops.make(at, TEST_SEED + at)
        textures = encoder.textures(encoder.normalise(loop.grey))
        origins = origins_of(loops.motion(at, torch.arange(FRAMES).float()))
        shares, cells = shares_of(loop.ids[:1]), torch.zeros(1, 2, SIDE, SIDE)
        for frame in range(1, FRAMES):
            cells = motion(
                *(Textures(*(part[which : which + 1] for part in textures)) for which in (frame, frame - 1)), cells
            ).cells
            if frame not in (FRAMES // 2, FRAMES // 2 + 1):
                weights = (F.avg_pool2d(loop.grey[frame], SIZE // SIDE) > DARK).float()
                off.append(flow_loss(cells, origins[frame, None], origins[frame - 1, None], weights)[1].item())
            flow = double(cells)
            shares = moved(shares, flow)
            for where, which in (("systole", FRAMES // 2 - 1), ("end", FRAMES - 1)):
                if frame == which:
                    for name, id_ in OBJECTS.items():
                        found = F.interpolate(shares[:, id_ : id_ + 1], size=(SIZE, SIZE), mode="bilinear")[0, 0] > 0.5
                        overlaps[name, where].append(dice(found.numpy(), (loop.ids[frame] == id_).numpy()))
    figures = {f"{name}_{at}": float(np.mean(values)) for (name, at), values in overlaps.items()}
    return {"off_px": float(np.mean(off)) * SIZE / SIDE, **figures}


def train_motion(config: MotionConfig) -> None:
    """Runs the stage."""
    pack = Pack(config.pack)
    student = with_weights(SonoSamLite(), config.student).eval().requires_grad_(False)
    net = Motion()
    if config.start is not None:
        with_weights(net, config.start)
    run = Run(config.folder, config, config.schedule, net, Pairs(net, student.encoder))
    student.to(run.device)
    generator, numbers = torch.Generator().manual_seed(run.seed), np.random.default_rng(run.seed)
    source = SequenceSource(pack, Loops(config.loops, pack, "train"), generator, numbers, config.shares)
    held_out = Loops(config.loops, pack, "val")
    for _ in run.steps():
        drawn = Sequences(*(part.to(run.device) for part in source.draw(config.schedule.batch, config.frames)))
        gap = int(numbers.integers(1, config.gap_max + 1)) * int(numbers.choice([-1, 1]))
        loss, off = run.net(student.encoder.normalise(drawn.grey), drawn, gap)
        run.backward(loss, off_cells=off)
        if run.is_due:
            motion = run.kept.cpu()
            student.cpu()
            figures = validate(motion, student.encoder, held_out, VALIDATED_LOOPS)
            student.to(run.device)
            run.averaged.to(run.device)
            run.validated(-figures["off_px"], **figures)
