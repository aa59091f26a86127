"""Stage 3: the DeAOT tracker, on the student's frozen encoder."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor, nn

from sonotrace_models.data.loops import Loops
from sonotrace_models.data.pack import Pack
from sonotrace_models.data.sequences import Sequences, SequenceSource, Shares
from sonotrace_models.evaluate.loops import OBJECTS, RefinedFollower, means, play_loops
from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import Tracker
from sonotrace_models.nets.tracking import REFINED_TRUST, Tracking, odds_of, refined, shares_from, shares_of
from sonotrace_models.train.motion import motion_loss
from sonotrace_models.train.run import Run, Schedule
from sonotrace_models.weights import with_weights

VALIDATED_LOOPS = 12
MOTION_WEIGHT = 0.5
"""Weight of the motion loss against the mask loss."""


@dataclass
class TrackerConfig:
    """Stage 3: the DeAOT tracker."""

    pack: Path = Path("work/pack")
    loops: Path = Path("work/loops")
    student: Path = Path("work/runs/student/best.pt")
    start: Path | None = None
    """A tracker to start from, for example after its student has learnt more."""
    motion: Path | None = Path("work/runs/motion/best.pt")
    """Weights of stage 3a; not used with `start`, which contains them."""
    folder: Path = Path("work/runs/tracker")
    frames_min: int = 4
    frames_max: int = 12
    frames_a_step: int = 36
    """Frames per step over all sequences: shorter sequences have larger batches."""
    corrected_share: float = 0.2
    """Share of steps in which a later frame's truth is given too, as in an intervention."""
    refined_share: float = 0.5
    """Share of steps in which the student refines each mask before it is remembered, as in use."""
    shares: Shares = field(default_factory=Shares)
    schedule: Schedule = field(default_factory=lambda: Schedule(steps=6000, learning_rate=4e-4, weight_decay=0.05))


_dice = DiceLoss(include_background=False, softmax=False, reduction="none", soft_label=True)


class Unrolled(nn.Module):
    """The tracker's loss over sequences."""

    def __init__(self, tracker: Tracker, student: SonoSamLite) -> None:
        super().__init__()
        self.tracker = tracker
        # Not a submodule: it is frozen and must not be saved with the tracker.
        self._student = [student]

    def forward(
        self,
        image: Tensor,
        drawn: Sequences,
        kept_every: int,
        anchored_every: int,
        corrected_at: int,
        is_refined: bool,
    ) -> tuple[Tensor, Tensor]:
        """The loss and the mean Dice over all frames except the first.

        Args:
            image: [batch, frame, 256, 256], normalised.
            drawn: the sequences of `image`.
            corrected_at: the frame whose truth is given after it was tracked, 0 for none.
            is_refined: whether the student refines each mask before it is remembered.
        """
        (student,) = self._student
        batch, frames = image.shape[:2]
        with torch.no_grad():
            flat = student.encoder(image.reshape(batch * frames, 1, *image.shape[2:]))
        features = [part.reshape(batch, frames, *part.shape[1:]) for part in flat]
        tracking = Tracking(self.tracker, batch, image.device, kept_every, anchored_every)
        tracking.refer(Features(*(part[:, 0] for part in features)), shares_of(drawn.ids[:, 0]))
        losses, overlaps = [], []
        for frame in range(1, frames):
            of_frame = Features(*(part[:, frame] for part in features))
            logits = tracking.find(of_frame)
            anchor = frame - tracking.since_anchor
            # Gradients of a sequence pass through keys and values only; through each frame's masks they would explode.
            shares = logits.detach().softmax(1)
            if is_refined:
                with torch.no_grad():
                    odds = odds_of(logits.detach())
                    odds = refined(student.decoder, of_frame, odds, tracking.present, REFINED_TRUST).odds
                    shares = shares_from(odds)
            tracking.remember(shares)
            truth = shares_of(drawn.ids[:, frame]) * tracking.present[..., None, None]
            loss, overlap = frame_loss(logits, truth, tracking.present)
            off, _ = motion_loss(tracking.moved.flow, drawn, frame, anchor)
            losses.append(loss + MOTION_WEIGHT * off)
            overlaps.append(overlap)
            if frame == corrected_at:
                tracking.correct(of_frame, truth)
        return torch.stack(losses).mean(), torch.stack(overlaps).mean()


def frame_loss(logits: Tensor, truth: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy plus Dice loss of the objects that are present; and their mean Dice."""
    probability = logits.softmax(1)
    entropy = F.cross_entropy(logits, truth, reduction="none")
    dice_losses = _dice(probability, truth)[..., 0, 0]
    weights = present[:, 1:]
    dice_loss = (dice_losses * weights).sum() / weights.sum().clamp(min=1)
    return 2 * entropy.mean() + dice_loss, _overlap(logits, truth, weights)


@torch.no_grad()
def _overlap(logits: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Mean Dice of the objects that are present and visible."""
    ids = torch.arange(1, truth.shape[1], device=truth.device)[:, None, None]
    hard, solid = (masks.argmax(1, keepdim=True) == ids for masks in (logits, truth))
    both, hard, solid = (part.sum((2, 3)) for part in (hard & solid, hard, solid))
    counted = weights * (solid > 0)
    return (2 * both / (hard + solid).clamp(min=1) * counted).sum() / counted.sum().clamp(min=1)


def train_tracker(config: TrackerConfig) -> None:
    """Runs the stage."""
    pack = Pack(config.pack)
    student = with_weights(SonoSamLite(), config.student).eval().requires_grad_(False)
    net = Tracker()
    if config.start is not None:
        with_weights(net, config.start)
    elif config.motion is not None:
        with_weights(net.motion, config.motion)
    objective = Unrolled(net, student)
    run = Run(config.folder, config, config.schedule, net, objective)
    student.to(run.device)
    generator, numbers = run.generators()
    source = SequenceSource(pack, Loops(config.loops, pack, "train"), generator, numbers, config.shares)
    held_out = Loops(config.loops, pack, "val")
    if config.schedule.compiled:
        student.encoder.compile()

    def judge() -> tuple[float, dict[str, float]]:
        follower = RefinedFollower(run.kept, student)
        played = play_loops(student, {"tracker": follower}, held_out, VALIDATED_LOOPS)["tracker"]
        figures = {
            f"{name}_{key}": value
            for name, results in played.items()
            for key, value in means(results).items()
            if key in ("dice", "interventions", "dice_systole")
        }
        return float(np.mean([figures[f"{name}_dice"] for name in OBJECTS])), figures

    for _ in run.steps(judge):
        frames = int(numbers.integers(config.frames_min, config.frames_max + 1))
        drawn = source.draw(max(1, round(config.frames_a_step / frames)), frames)
        corrected_at = int(numbers.integers(1, frames - 1)) if numbers.random() < config.corrected_share else 0
        image = student.encoder.normalise(drawn.grey)
        is_refined = bool(numbers.random() < config.refined_share)
        kept_every, anchored_every = int(numbers.integers(2, 6)), int(numbers.integers(1, frames + 1))
        loss, overlap = run.net(image, drawn, kept_every, anchored_every, corrected_at, is_refined)
        run.backward(loss, dice=overlap, frames=frames)
