"""Interventions on loops: the paper's table 2, with its protocol (2.3).

On the first frame the user clicks until the contour is good. Afterwards each frame is tracked; where an object's Dice with
the truth falls below 0.90 the user intervenes with corrective clicks. Besides the paper's three columns: mean Dice, and,
for loops made from pairs, Dice on the real second frame in the middle (a heart's end-systolic one). The true first mask is
also tracked without interventions: its Dice, and its area over the true one, because ejection fractions are computed from
areas. A frame that an object has left has no Dice, and needs no intervention.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from sonotrace_models import SIZE
from sonotrace_models.data.loops import Loop, Loops
from sonotrace_models.data.pack import MIN_OBJECT_PX
from sonotrace_models.evaluate.clicks import points_of
from sonotrace_models.evaluate.protocol import Click, dice, first_click, next_click
from sonotrace_models.nets.confidence import Confidence
from sonotrace_models.nets.decoder import Prompt
from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.following import Followed, Following
from sonotrace_models.nets.sonosam import SonoSamLite, upsample
from sonotrace_models.nets.tracker import IDS, MASK_SIDE, NEVER, Tracker
from sonotrace_models.nets.tracker import OBJECTS as MOST_OBJECTS
from sonotrace_models.nets.tracking import (
    REFINED_TRUST,
    SURE,
    Tracking,
    odds_of,
    redrawn,
    refined,
    shares_from,
    shares_of,
)
from sonotrace_models.processes import results_of
from sonotrace_models.prompts import carried_box

ACCEPTED_DICE = 0.90
"""Below, the user intervenes (the paper's threshold)."""
GOOD_DICE = 0.95
"""At or above, the user stops clicking."""
FIRST_CLICKS_MAX = 5
CORRECTIONS_MAX = 3
"""Clicks of one intervention."""
TEST_SEED = 20261124
"""Loop n of a set is made with the seed `TEST_SEED + n`."""
ENCODED_AT_ONCE = 100
"""Frames: a long cine would need too much memory."""
NO_DICE = float("nan")

Mask = npt.NDArray[np.bool_]


class Frame(NamedTuple):
    """A frame of one loop."""

    features: Features
    grey: Tensor
    """[1, 1, 256, 256] in [0, 1]"""


class Follower(ABC):
    """Propagates masks from frame to frame; objects are numbered from 1."""

    @abstractmethod
    def start(self, frame: Frame, logits: Sequence[Tensor]) -> None:
        """Sets the first frame's masks: [128, 128] logits of each object."""

    @abstractmethod
    def advance(self, frame: Frame) -> list[Tensor]:
        """The next frame's logits of each object."""

    @abstractmethod
    def correct(self, frame: Frame, logits: Sequence[Tensor], is_corrected: Sequence[bool]) -> None:
        """Replaces the masks of the current frame, of which the user corrected some."""


class TrackerFollower(Follower):
    """The DeAOT tracker."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    @torch.no_grad()
    def start(self, frame: Frame, logits: Sequence[Tensor]) -> None:
        self.tracking = Tracking(self.tracker, 1, frame.grey.device)
        self.tracking.refer(frame.features, shares_from(odds_with(logits)))
        self.tracking.present = present_of(logits)

    @torch.no_grad()
    def advance(self, frame: Frame) -> list[Tensor]:
        return objects_of(odds_of(self.tracking.advance(frame.features)), self.tracking.present)

    @torch.no_grad()
    def correct(self, frame: Frame, logits: Sequence[Tensor], is_corrected: Sequence[bool]) -> None:
        self.tracking.correct(frame.features, shares_from(odds_with(logits)))


class RefinedFollower(TrackerFollower):
    """The tracker, with masks refined by the segmenter; all are remembered."""

    def __init__(self, tracker: Tracker, net: SonoSamLite, trust: float = REFINED_TRUST) -> None:
        super().__init__(tracker)
        self.net, self.trust = net, trust

    @torch.no_grad()
    def advance(self, frame: Frame) -> list[Tensor]:
        odds = odds_of(self.tracking.find(frame.features))
        mixed = refined(self.net.decoder, frame.features, odds, self.tracking.present, self.trust)
        self.tracking.remember(shares_from(mixed))
        return objects_of(mixed, self.tracking.present)


class GatedFollower(Follower):
    """What is shipped: tracked, refined in turn, judged, and remembered if the gate lets it through."""

    def __init__(
        self,
        net: SonoSamLite,
        tracker: Tracker,
        confidence: Confidence,
        checks_a_frame: int = MOST_OBJECTS,
        turns: int = 0,
        correct_lost: bool = False,
    ) -> None:
        """As for `Following`."""
        self.following = Following(net, tracker, confidence, checks_a_frame, turns, correct_lost=correct_lost)
        self.followed: Followed
        """The current frame."""

    @torch.no_grad()
    def start(self, frame: Frame, logits: Sequence[Tensor]) -> None:
        self.following.start(frame.features, frame.grey, odds_with(logits), present_of(logits))

    @torch.no_grad()
    def advance(self, frame: Frame) -> list[Tensor]:
        self.followed = self.following.advance(frame.features, frame.grey)
        return objects_of(self.followed.odds, self.following.tracking.present)

    @torch.no_grad()
    def correct(self, frame: Frame, logits: Sequence[Tensor], is_corrected: Sequence[bool]) -> None:
        objects = torch.zeros(1, IDS, dtype=torch.bool, device=frame.grey.device)
        objects[0, 1 : len(logits) + 1] = torch.tensor(is_corrected)
        self.following.correct(frame.features, odds_with(logits), objects)


def present_of(logits: Sequence[Tensor]) -> Tensor:
    """[1, 11]: 1 for the background and as many objects."""
    present = torch.zeros(1, IDS, device=logits[0].device)
    present[:, : len(logits) + 1] = 1
    return present


def odds_with(logits: Sequence[Tensor]) -> Tensor:
    """[1, 11, 128, 128]: objects from 1; the other ids never."""
    odds = torch.full((1, IDS, MASK_SIDE, MASK_SIDE), NEVER, device=logits[0].device)
    odds[0, 1 : len(logits) + 1] = torch.stack(list(logits))
    return odds


def objects_of(odds: Tensor, present: Tensor) -> list[Tensor]:
    """The present objects' [128, 128] of [1, 11, 128, 128]."""
    return list(odds[0, 1 : int(present.sum())])


class RepromptFollower(Follower):
    """The segmenter, prompted on each frame with the last mask's logits and box."""

    def __init__(self, net: SonoSamLite) -> None:
        self.net = net

    def start(self, frame: Frame, logits: Sequence[Tensor]) -> None:
        self.last = list(logits)

    @torch.no_grad()
    def advance(self, frame: Frame) -> list[Tensor]:
        each = Features(*(part.expand(len(self.last), -1, -1, -1) for part in frame.features))
        self.last = list(redrawn(self.net.decoder, each, torch.stack(self.last)).logits)
        return list(self.last)

    def correct(self, frame: Frame, logits: Sequence[Tensor], is_corrected: Sequence[bool]) -> None:
        self.last = list(logits)


@torch.no_grad()
def segment(
    net: SonoSamLite,
    features: Features,
    clicks: Sequence[Click],
    box: tuple[float, float, float, float] | None,
    before: Tensor | None,
) -> Tensor:
    """The segmenter's logits, [128, 128]."""
    coords, labels = points_of(clicks, box)
    side = net.decoder.mask_side
    prompt = Prompt(
        torch.tensor([coords]),
        torch.tensor([labels]),
        torch.zeros(1, 1, side, side) if before is None else before[None, None],
        torch.tensor([0.0 if before is None else 1.0]),
    )
    prompt = Prompt(*(part.to(features.embedding.device) for part in prompt))
    return net.decoder(*features, prompt).mask[0, 0].float()


def on_grid(logits: Tensor) -> Mask:
    """[128, 128] logits to a mask on the input grid."""
    return (upsample(logits[None, None], SIZE)[0, 0] > 0).cpu().numpy()


@dataclass
class ObjectResult:
    """One object through one loop."""

    middle: int | None = None
    """The frame that is a pair's second image."""
    patient: str = ""
    """Set and patient."""
    dice: list[float] = field(default_factory=list)
    """Per frame from the second one, before any intervention on it; NaN where the object is not in the frame."""
    drops: list[float] = field(default_factory=list)
    """Per intervention: Dice lost since the frame before."""
    clicks: int = 0
    """In all interventions."""
    first_clicks: int = 0
    alone_dice: list[float] = field(default_factory=list)
    """As `dice`, from the true first mask and without interventions."""
    alone_area: list[float] = field(default_factory=list)
    """The same: area over the true one."""
    alone_confidence: list[float] = field(default_factory=list)
    """The same: confidence, of a gated follower."""

    @property
    def interventions(self) -> int:
        """Number of interventions."""
        return len(self.drops)


@torch.no_grad()
def encoded(net: SonoSamLite, grey: Tensor) -> list[Frame]:
    """The frames of [frames, 1, 256, 256] grey levels."""
    frames = []
    for some in grey.split(ENCODED_AT_ONCE):
        of_all = net.encoder(net.encoder.normalise(some))
        frames += [
            Frame(Features(*(part[at : at + 1] for part in of_all)), some[at : at + 1]) for at in range(len(some))
        ]
    return frames


def play(net: SonoSamLite, follower: Follower, loop: Loop, frames: Sequence[Frame]) -> dict[str, ObjectResult]:
    """One loop with the simulated user; `frames` are its features from `encoded`."""
    results = {name: ObjectResult(loop.middle) for name in loop.objects}
    names = list(loop.objects)
    kept = [1.0] * len(names)
    for at_frame, frame in enumerate(frames):
        truths = [(loop.ids[at_frame] == loop.objects[name]).cpu().numpy() for name in names]
        if at_frame == 0:
            logits = []
            for name, truth in zip(names, truths, strict=True):
                found, used = click_until_good(net, frame.features, truth, None, FIRST_CLICKS_MAX)
                results[name].first_clicks = used
                logits.append(found)
            follower.start(frame, logits)
            continue
        logits = follower.advance(frame)
        is_corrected = [False] * len(names)
        for at, (name, truth) in enumerate(zip(names, truths, strict=True)):
            overlap = dice_of(on_grid(logits[at]), truth)
            results[name].dice.append(overlap)
            if np.isnan(overlap):
                continue
            if overlap < ACCEPTED_DICE:
                results[name].drops.append(kept[at] - overlap)
                logits[at], used = click_until_good(net, frame.features, truth, logits[at], CORRECTIONS_MAX)
                results[name].clicks += used
                is_corrected[at] = True
                overlap = dice(on_grid(logits[at]), truth)
            kept[at] = overlap
        if any(is_corrected):
            follower.correct(frame, logits, is_corrected)
    return results


def dice_of(mask: Mask, truth: Mask) -> float:
    """Dice; NaN if the object is not in the frame."""
    return dice(mask, truth) if truth.sum() >= MIN_OBJECT_PX else NO_DICE


def play_alone(follower: Follower, loop: Loop, frames: Sequence[Frame], results: dict[str, ObjectResult]) -> None:
    """Tracks the true first masks through the loop without interventions; adds to `results`."""
    first = shares_of(loop.numbered(0)).logit(SURE)[0]
    follower.start(frames[0], list(first[1 : len(loop.objects) + 1]))
    for at, frame in enumerate(frames[1:], start=1):
        for number, ((name, id_), logits) in enumerate(zip(loop.objects.items(), follower.advance(frame), strict=True)):
            if isinstance(follower, GatedFollower):
                results[name].alone_confidence.append(float(follower.followed.confidence[0, number + 1]))
            truth, mask = (loop.ids[at] == id_).cpu().numpy(), on_grid(logits)
            overlap = dice_of(mask, truth)
            results[name].alone_dice.append(overlap)
            results[name].alone_area.append(NO_DICE if np.isnan(overlap) else float(mask.sum() / truth.sum()))


def click_until_good(
    net: SonoSamLite, features: Features, truth: Mask, before: Tensor | None, most: int
) -> tuple[Tensor, int]:
    """Clicks until the mask is good. Returns the logits and the number of clicks."""
    made: list[Click] = []
    logits = before
    box = None if before is None else box_of_carried(before)
    while len(made) < most:
        click = first_click(truth) if logits is None else next_click(truth, on_grid(logits))
        if click is None:
            break
        made.append(click)
        logits = segment(net, features, made, box, logits)
        if dice(on_grid(logits), truth) >= GOOD_DICE:
            break
    assert logits is not None
    return logits, len(made)


def box_of_carried(before: Tensor) -> tuple[float, float, float, float] | None:
    """The box of a propagated mask, [128, 128] logits, which is part of a correction's prompt as in a session; None if the
    mask is empty."""
    mask = (before > 0)[None]
    if not mask.any():
        return None
    (x0, y0), (x1, y1) = carried_box(mask, torch.ones(1, dtype=torch.bool, device=mask.device)).coords[0, :2].tolist()
    return x0, y0, x1, y1


Played = dict[str, dict[str, list[ObjectResult]]]
"""Per follower and row of the table (an object's name, with its set's where there are several), the results of each loop."""


def play_loops(
    net: SonoSamLite, followers: dict[str, Follower], loops: Loops, most: int | None = None, workers: int = 0
) -> Played:
    """Plays all loops, or at most so many, with each follower; in processes with `workers`."""
    loops.require("following")

    def each(at: int) -> dict[str, dict[str, ObjectResult]]:
        source = loops.sources[at]
        # Made on the CPU: the same on every machine.
        loop = loops.make(at, TEST_SEED + source.number).to(net.encoder.device)
        frames = encoded(net, loop.grey)
        found = {}
        for name, follower in followers.items():
            found[name] = play(net, follower, loop, frames)
            play_alone(follower, loop, frames, found[name])
        return found

    played: Played = {name: {} for name in followers}
    chosen = loops.some(most)
    results = tqdm(results_of(each, chosen, workers), "loops", len(chosen), mininterval=5)
    for at, of_loop in zip(chosen, results, strict=True):
        source = loops.sources[at]
        for name, found in of_loop.items():
            for of, result in found.items():
                result.patient = f"{source.set_name} {source.patient}"
                played[name].setdefault(loops.label(at, of), []).append(result)
    return played


def means(results: Sequence[ObjectResult]) -> dict[str, float]:
    """The table's columns: means over the loops. `dice_systole` and `alone_area` are of loops made from pairs: Dice on the
    middle frame, and the area on the frame before it, which is a warped image like all others."""
    drops = [drop for result in results for drop in result.drops]
    pairs = [(result, result.middle) for result in results if result.middle is not None]
    columns = {
        "loops": float(len(results)),
        "interventions": mean_of([result.interventions for result in results]),
        "drop_before": mean_of(drops) if drops else 0.0,
        "clicks": mean_of([result.clicks for result in results]),
        "clicks_each": sum(result.clicks for result in results) / max(len(drops), 1),
        "first_clicks": mean_of([result.first_clicks for result in results]),
        "dice": mean_of([mean_of(result.dice) for result in results]),
        "dice_systole": mean_of([result.dice[middle - 1] for result, middle in pairs]),
        "alone_dice": mean_of([mean_of(result.alone_dice) for result in results]),
        "alone_area": mean_of([result.alone_area[middle - 2] for result, middle in pairs]),
    }
    return {name: value for name, value in columns.items() if not np.isnan(value)}


def mean_of(values: Sequence[float]) -> float:
    """The mean of values that are not NaN; NaN if all are."""
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else NO_DICE
