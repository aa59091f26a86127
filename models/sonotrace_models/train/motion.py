"""Stage 3a: the tracker's motion network by itself. It needs only the encoder's stem, so training is many times faster."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from sonotrace_models import SIZE
from sonotrace_models.data.loops import Loops
from sonotrace_models.data.pack import MIN_OBJECT_PX, Pack
from sonotrace_models.data.sequences import Sequences, SequenceSource, Shares, origins_of
from sonotrace_models.evaluate.loops import ENCODED_AT_ONCE, TEST_SEED
from sonotrace_models.evaluate.protocol import dice
from sonotrace_models.nets.encoder import Encoder, Textures
from sonotrace_models.nets.layers import double
from sonotrace_models.nets.motion import SIDE, Motion, Moved, follow, still
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracking import shares_of
from sonotrace_models.train.run import Run, Schedule
from sonotrace_models.weights import with_weights

VALIDATED_LOOPS = 12
LABEL_WEIGHT = 10.0
"""Weight of the label loss against the flow loss: boundaries are a small part of an image."""
DARK = 0.02
DARK_WEIGHT = 0.05
"""Grey level below which no motion is visible, and the weight of the flow there."""


@dataclass
class MotionConfig:
    """Stage 3a: the tracker's motion network."""

    pack: Path = Path("work/pack")
    loops: Path = Path("work/loops")
    student: Path = Path("work/runs/student/best.pt")
    start: Path | None = None
    """Weights to start from."""
    folder: Path = Path("work/runs/motion")
    frames: int = 8
    shares: Shares = field(default_factory=Shares)
    schedule: Schedule = field(
        default_factory=lambda: Schedule(steps=3000, batch=6, learning_rate=1e-3, weight_decay=0.01)
    )


def weights_of(grey: Tensor) -> Tensor:
    """Weight of each cell's motion: [frames, 256, 256] grey levels in [0, 1] to [frames, 64, 64]."""
    means = F.avg_pool2d(grey[:, None], SIZE // SIDE)[:, 0]
    return torch.where(means > DARK, 1.0, DARK_WEIGHT)


def flow_loss(cells: Tensor, now: Tensor, before: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean error of a flow, in cells: the distance between the source position of a cell and that of the cell to which the
    flow points. Returns it smoothed at 0 for training, and exact.

    Args:
        cells: [pairs, 2, 64, 64].
        now, before: [pairs, 64, 64, 2]: `origins` of both frames.
        weights: [pairs, 64, 64].
    """
    came = follow(before.permute(0, 3, 1, 2), cells)
    is_known = (now.abs() <= 1).all(-1) & (came.abs() <= 1).all(1)
    off = ((came - now.permute(0, 3, 1, 2)) * (SIDE / 2)).square().sum(1)
    counted = weights * is_known
    total = counted.sum().clamp(min=1)
    return ((off + 1e-3).sqrt() * counted).sum() / total, (off.detach().sqrt() * counted).sum() / total


def label_loss(cells: Tensor, now: Tensor, before: Tensor) -> Tensor:
    """Absolute error of shares, [pairs, 11, 128, 128], warped by the flow: sum over ids, mean over pixels. No flow is right
    where all objects have left."""
    off = (follow(before, double(cells)) - now).abs().sum(1).mean((1, 2))
    return (off * (now[:, 1:].flatten(1).amax(1) > 0)).mean()


def motion_loss(cells: Tensor, drawn: Sequences, now: int, before: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of flows, [batch, 2, 64, 64], from one frame of sequences back to another, of `before`, [batch]; and their mean
    error in cells."""
    rows = torch.arange(len(before), device=before.device)
    is_same = (drawn.scenes[:, now] == drawn.scenes[rows, before])[:, None, None]
    weights = weights_of(drawn.grey[:, now]) * is_same
    loss, off = flow_loss(cells, drawn.origins[:, now], drawn.origins[rows, before], weights)
    labels = [shares_of(part) for part in (drawn.ids[:, now], drawn.ids[rows, before])]
    return loss + LABEL_WEIGHT * label_loss(cells, *labels), off


class Anchored(nn.Module):
    """The motion's loss over sequences, with their first frames as the anchors."""

    def __init__(self, motion: Motion, encoder: Encoder) -> None:
        super().__init__()
        self.motion = motion
        # Not a submodule: it is frozen and must not be saved with the motion network.
        self._encoder = [encoder]

    def forward(self, image: Tensor, drawn: Sequences) -> tuple[Tensor, Tensor]:
        """The loss, and the mean error in cells.

        Args:
            image: [batch, frame, 256, 256], normalised.
            drawn: the sequences of `image`.
        """
        (encoder,) = self._encoder
        batch, frames = image.shape[:2]
        with torch.no_grad():
            flat = encoder.textures(image.reshape(batch * frames, 1, SIZE, SIZE))
        textures = [part.reshape(batch, frames, *part.shape[1:]) for part in flat]
        anchor, *others = (Textures(*(part[:, frame] for part in textures)) for frame in range(frames))
        so_far = still(batch, image.device)
        losses, off = [], []
        for frame, now in enumerate(others, start=1):
            found = self.motion(now, anchor, so_far).moved
            loss, error = motion_loss(found.flow, drawn, frame, torch.zeros_like(drawn.scenes[:, 0]))
            losses.append(loss)
            off.append(error)
            so_far = Moved(*(part.detach() for part in found))
        return torch.stack(losses).mean(), torch.stack(off).mean()


@torch.no_grad()
def validate(motion: Motion, encoder: Encoder, loops: Loops, most: int) -> dict[str, float]:
    """Mean error in pixels over loops made from pairs, and the Dice of each object's true first mask, warped to the last frame
    and, of pairs, to the frame before the middle one.

    Raises:
        DataError: there are no loops.
    """
    loops.require("validating motion")
    off: list[float] = []
    overlaps: dict[str, list[float]] = {}
    for at in tqdm(loops.some(most), desc="loops", mininterval=5):
        source = loops.sources[at]
        loop = loops.make(at, TEST_SEED + source.number).to(encoder.device)
        some = [encoder.textures(encoder.normalise(frames)) for frames in loop.grey.split(ENCODED_AT_ONCE)]
        textures = Textures(*(torch.cat(parts) for parts in zip(*some, strict=True)))
        times = torch.arange(source.frames, device=encoder.device).float()
        origins = origins_of(loops.motion(at, times)) if source.is_pair else None
        where = {source.frames - 1: "end"} | ({loop.middle - 1: "systole"} if loop.middle is not None else {})
        first, so_far = shares_of(loop.numbered(0)), still(1, encoder.device)
        for frame in range(1, source.frames):
            now, anchor = (Textures(*(part[which : which + 1] for part in textures)) for which in (frame, 0))
            so_far = motion(now, anchor, so_far).moved
            if origins is not None and frame != loop.middle:
                weights = (F.avg_pool2d(loop.grey[frame], SIZE // SIDE) > DARK).float()
                off.append(flow_loss(so_far.flow, origins[frame, None], origins[:1], weights)[1].item())
            if frame not in where:
                continue
            shares = follow(first, double(so_far.flow))
            for number, (name, id_) in enumerate(loop.objects.items(), start=1):
                found = F.interpolate(shares[:, number : number + 1], size=(SIZE, SIZE), mode="bilinear")[0, 0] > 0.5
                truth = (loop.ids[frame] == id_).cpu().numpy()
                if truth.sum() >= MIN_OBJECT_PX:
                    key = f"{loops.label(at, name)}_{where[frame]}"
                    overlaps.setdefault(key, []).append(dice(found.cpu().numpy(), truth))
    figures = {key: float(np.mean(values)) for key, values in overlaps.items()}
    figures["val_loops"] = float(len(loops.some(most)))
    return {"off_px": float(np.mean(off)) * SIZE / SIDE, **figures} if off else figures


def score_of(figures: dict[str, float]) -> float:
    """What weights are chosen by: the error of the motion or, with cines alone, whose motion is not known, Dice at the end."""
    return (
        -figures["off_px"]
        if "off_px" in figures
        else float(np.mean([value for key, value in figures.items() if key != "val_loops"]))
    )


def train_motion(config: MotionConfig) -> None:
    """Runs the stage."""
    pack = Pack(config.pack)
    student = with_weights(SonoSamLite(), config.student).eval().requires_grad_(False)
    net = Motion()
    if config.start is not None:
        with_weights(net, config.start)
    run = Run(config.folder, config, config.schedule, net, Anchored(net, student.encoder))
    student.to(run.device)
    generator, numbers = run.generators()
    source = SequenceSource(pack, Loops(config.loops, pack, "train"), generator, numbers, config.shares)
    held_out = Loops(config.loops, pack, "val")

    def judge() -> tuple[float, dict[str, float]]:
        figures = validate(run.kept, student.encoder, held_out, VALIDATED_LOOPS)
        return score_of(figures), figures

    for _ in run.steps(judge):
        drawn = source.draw(config.schedule.batch, config.frames)
        loss, off = run.net(student.encoder.normalise(drawn.grey), drawn)
        run.backward(loss, off_cells=off)
