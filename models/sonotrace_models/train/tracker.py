"""Stage 3: the DeAOT tracker, on the student's frozen encoder."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from sonotrace_models.data.hard import PRACTISED, HardLoop, HardLoops, read_recipes
from sonotrace_models.data.loops import Loops
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.data.sequences import Sequences, SequenceSource, Shares
from sonotrace_models.evaluate.loops import RefinedFollower, means, play_loops
from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.evidence import overlap
from sonotrace_models.nets.following import Following
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import IDS, Tracker
from sonotrace_models.nets.tracking import REFINED_TRUST, SURE, Tracking, odds_of, refined, shares_from, shares_of
from sonotrace_models.train.motion import motion_loss
from sonotrace_models.train.run import Run, Schedule
from sonotrace_models.weights import with_weights

HARD_FRAMES_MIN = 8
"""Things need some frames to happen."""
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
    """At least `HARD_FRAMES_MIN` with hard loops."""
    frames_max: int = 12
    frames_a_step: int = 36
    """Frames per step over all sequences: shorter sequences have larger batches."""
    workers: int = 0
    """Processes that make sequences; 0 makes them between the steps. A GPU is kept busy by a dozen."""
    corrected_share: float = 0.2
    """Share of steps in which a later frame's truth is given too, as in an intervention."""
    refined_share: float = 0.5
    """Share of steps in which the student refines each mask before it is remembered, as in use."""
    gated_share: float = 0.85
    """Share of steps with hard loops in which masks that have become wrong are not learnt from, as in use."""
    validated_loops: int = 12
    """Loops of val, of all sets in turn, and as many hard ones with a share of hard loops, that weights are judged by."""
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
        is_gated: bool,
    ) -> tuple[Tensor, Tensor]:
        """The loss and the mean Dice over all frames except the first.

        Args:
            image: [batch, frame, 256, 256], normalised.
            drawn: the sequences of `image`.
            corrected_at: the frame whose truth is given after it was tracked, 0 for none.
            is_refined: whether the student refines each mask before it is remembered.
            is_gated: whether only masks that agree with the truth are remembered (with some mistakes).
        """
        (student,) = self._student
        batch, frames = image.shape[:2]
        with torch.no_grad():
            flat = student.encoder(image.reshape(batch * frames, 1, *image.shape[2:]))
        features = [part.reshape(batch, frames, *part.shape[1:]) for part in flat]
        # Anchors are replaced often, so that masks with errors are warped, too.
        tracking = Tracking(self.tracker, batch, image.device, kept_every, anchored_every, math.inf)
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
                    odds = refined(student.decoder, of_frame, odds, tracking.present, REFINED_TRUST)
                    shares = shares_from(odds)
            truth = shares_of(drawn.ids[:, frame]) * tracking.present[..., None, None]
            trusted = trusted_masks(shares, truth, drawn.visibility[:, frame]) if is_gated else None
            tracking.remember(shares, trusted)
            loss, dice = frame_loss(logits, truth, tracking.present)
            off, _ = motion_loss(tracking.moved.flow, drawn, frame, anchor)
            losses.append(loss + MOTION_WEIGHT * off)
            overlaps.append(dice)
            if frame == corrected_at:
                # Users correct what they see.
                tracking.correct(of_frame, truth, drawn.visibility[:, frame] >= TRUSTED_SHARE)
        return torch.stack(losses).mean(), torch.stack(overlaps).mean()


TRUSTED_DICE = 0.75
"""In training, a mask is learnt from if it agrees with the truth so much,"""
TRUSTED_SHARE = 0.4
"""and so much of its object can be seen;"""
MISTAKEN_SHARE = 0.05
"""and the gate mistakes so many masks, as in use."""


@torch.no_grad()
def trusted_masks(shares: Tensor, truth: Tensor, visibility: Tensor) -> Tensor:
    """[batch, 11] bool: the masks of a frame that are learnt from."""
    hard, solid = (masks.flatten(2).argmax(1, keepdim=True) for masks in (shares, truth))
    ids = torch.arange(shares.shape[1], device=shares.device)[:, None]
    found = overlap((hard == ids)[:, :, None], (solid == ids)[:, :, None])
    is_mistaken = torch.rand_like(found) < MISTAKEN_SHARE
    return ((found >= TRUSTED_DICE) & (visibility >= TRUSTED_SHARE)) ^ is_mistaken


def frame_loss(logits: Tensor, truth: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy, plus Dice loss of the objects that are tracked and in the frame; and their mean Dice."""
    probability = logits.softmax(1)
    entropy = F.cross_entropy(logits, truth, reduction="none")
    dice_losses = _dice(probability, truth)[..., 0, 0]
    # An empty truth has no Dice: its loss would be 1 for every mask.
    weights = present[:, 1:] * (truth[:, 1:].flatten(2).amax(2) > 0)
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


@torch.no_grad()
def hard_dice(net: Tracker, student: SonoSamLite, loop: HardLoop) -> float:
    """Mean Dice of a hard loop's objects, followed from the true first masks; masks that have become wrong are not learnt
    from."""
    following = Following(student, net)
    device = student.encoder.device
    present = torch.zeros(1, IDS, device=device)
    present[:, : loop.visibility.shape[1] + 1] = 1
    overlaps = []
    for frame, grey in enumerate(loop.grey.to(device).split(1)):
        features = student.encoder(student.encoder.normalise(grey))
        truth = shares_of(loop.ids[frame, None].to(device))
        if frame == 0:
            following.start(features, grey, truth.logit(SURE), present)
            continue
        odds = following.find(features, grey).odds
        found = overlap(odds > 0, truth > 0.5)[0, present[0] > 0][1:]
        visibility = loop.visibility[frame].to(device)
        trusted = torch.zeros_like(present, dtype=torch.bool)
        trusted[0, 1 : len(found) + 1] = (found >= TRUSTED_DICE) & (visibility >= TRUSTED_SHARE)
        following.remember(trusted)
        overlaps += found[loop.is_present[frame].to(device)].tolist()
    return float(np.mean(overlaps))


class Stream(IterableDataset[Sequences]):
    """Batches of sequences without end, made on the CPU; each worker of a `DataLoader` makes its own."""

    def __init__(self, config: TrackerConfig, pack: Pack, seed: int) -> None:
        self.config, self.pack, self.seed = config, pack, seed

    def __iter__(self) -> Iterator[Sequences]:
        config, worker = self.config, get_worker_info()
        seed = self.seed + 7919 * (worker.id if worker is not None else 0)
        numbers = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        loops = Loops(config.loops, self.pack, "train")
        source = SequenceSource(self.pack, loops, generator, numbers, config.shares)
        while True:
            frames = int(numbers.integers(config.frames_min, config.frames_max + 1))
            yield source.draw(max(1, round(config.frames_a_step / frames)), frames)


def hard_loops(pack: Pack, loops: Loops, config: TrackerConfig) -> list[HardLoop]:
    """Hard loops of val: at equal distances in the list, so of most kinds."""
    made = [recipe for recipe in read_recipes(config.loops / "hard_val.json") if recipe.kind in PRACTISED]
    chosen = made[:: max(1, len(made) // config.validated_loops)][: config.validated_loops]
    maker = HardLoops(pack, loops)
    return [maker.make(recipe) for recipe in chosen]


def train_tracker(config: TrackerConfig) -> None:
    """Runs the stage.

    Raises:
        DataError: the sequences are too short for hard loops.
    """
    if config.shares.hard > 0 and config.frames_min < HARD_FRAMES_MIN:
        raise DataError(
            f"hard loops need sequences of {HARD_FRAMES_MIN} frames or more, --frames-min is {config.frames_min}"
        )
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
    _, numbers = run.generators()
    stream = DataLoader(Stream(config, pack, run.seed), batch_size=None, num_workers=config.workers)
    made = iter(stream)
    held_out = Loops(config.loops, pack, "val")
    hard = hard_loops(pack, held_out, config) if config.shares.hard > 0 else []
    if config.schedule.compiled:
        student.encoder.compile()

    def judge() -> tuple[float, dict[str, float]]:
        follower = RefinedFollower(run.kept, student)
        played = play_loops(student, {"tracker": follower}, held_out, config.validated_loops)["tracker"]
        figures = {
            f"{name}_{key}": value
            for name, results in played.items()
            for key, value in means(results).items()
            if key in ("dice", "interventions", "dice_systole")
        }
        score = float(np.mean([value for name, value in figures.items() if name.endswith("_dice")]))
        if hard:
            figures["hard_dice"] = float(np.mean([hard_dice(run.kept, student, loop) for loop in hard]))
            score = (score + figures["hard_dice"]) / 2
        return score, figures

    for _ in run.steps(judge):
        drawn = Sequences(*(part.to(run.device, non_blocking=True) for part in next(made)))
        frames = drawn.grey.shape[1]
        corrected_at = int(numbers.integers(1, frames - 1)) if numbers.random() < config.corrected_share else 0
        image = student.encoder.normalise(drawn.grey)
        is_refined = bool(numbers.random() < config.refined_share)
        is_gated = config.shares.hard > 0 and bool(numbers.random() < config.gated_share)
        kept_every, anchored_every = int(numbers.integers(2, 6)), int(numbers.integers(1, frames + 1))
        loss, dice = run.net(image, drawn, kept_every, anchored_every, corrected_at, is_refined, is_gated)
        run.backward(loss, dice=dice, frames=frames)
