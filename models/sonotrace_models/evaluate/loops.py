"""Interventions on loops: the paper's table 2, with its protocol (2.3).

On the first frame the user clicks until the contour is good. Afterwards each frame is tracked; where an object's Dice with
the truth falls below 0.90 the user intervenes with corrective clicks. Besides the paper's three columns: mean Dice, and
Dice on the real end-systolic frame in the middle. The true first mask is also tracked without interventions: its Dice, and
its area over the true one, because ejection fractions are computed from areas.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from sonotrace_models import SIZE
from sonotrace_models.data.loops import LA, LV, MIDDLE, Loop, Loops
from sonotrace_models.evaluate.clicks import points_of
from sonotrace_models.evaluate.protocol import Click, box_of, dice, first_click, next_click
from sonotrace_models.nets.decoder import Prompt
from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.sonosam import SonoSamLite, upsample
from sonotrace_models.nets.tracker import IDS, MASK_SIDE, NEVER, Tracker
from sonotrace_models.nets.tracking import (
    REFINED_TRUST,
    SURE,
    Refined,
    Tracking,
    odds_of,
    redrawn,
    refined,
    shares_from,
    shares_of,
)

ACCEPTED_DICE = 0.90
"""Below, the user intervenes (the paper's threshold)."""
GOOD_DICE = 0.95
"""At or above, the user stops clicking."""
FIRST_CLICKS_MAX = 5
CORRECTIONS_MAX = 3
"""Clicks of one intervention."""
TEST_SEED = 20261124
"""Loop n is made with the seed `TEST_SEED + n`."""
OBJECTS = {"LV": LV, "LA": LA}

Mask = npt.NDArray[np.bool_]


class Follower(ABC):
    """Propagates masks from frame to frame; objects are numbered from 1."""

    @abstractmethod
    def start(self, features: Features, logits: Sequence[Tensor]) -> None:
        """Sets the first frame's masks: [128, 128] logits of each object."""

    @abstractmethod
    def advance(self, features: Features) -> list[Tensor]:
        """The next frame's logits of each object."""

    @abstractmethod
    def correct(self, features: Features, logits: Sequence[Tensor]) -> None:
        """Replaces the masks of the current frame."""


class TrackerFollower(Follower):
    """The DeAOT tracker."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    @torch.no_grad()
    def start(self, features: Features, logits: Sequence[Tensor]) -> None:
        self.count = len(logits)
        device = features.embedding.device
        self.tracking = Tracking(self.tracker, 1, device)
        self.tracking.refer(features, self._shares(logits))
        self.tracking.present = torch.zeros(1, IDS, device=device)
        self.tracking.present[:, : self.count + 1] = 1

    @torch.no_grad()
    def advance(self, features: Features) -> list[Tensor]:
        return self._objects(odds_of(self.tracking.advance(features)))

    @torch.no_grad()
    def correct(self, features: Features, logits: Sequence[Tensor]) -> None:
        self.tracking.correct(features, self._shares(logits))

    def _shares(self, logits: Sequence[Tensor]) -> Tensor:
        objects = torch.stack(list(logits))
        odds = torch.full((1, IDS, MASK_SIDE, MASK_SIDE), NEVER, device=objects.device)
        odds[0, 1 : self.count + 1] = objects
        return shares_from(odds)

    def _objects(self, odds: Tensor) -> list[Tensor]:
        return list(odds[0, 1 : self.count + 1])


class RefinedFollower(TrackerFollower):
    """The tracker, with masks refined by the segmenter."""

    def __init__(self, tracker: Tracker, net: SonoSamLite, trust: float = REFINED_TRUST) -> None:
        super().__init__(tracker)
        self.net, self.trust = net, trust
        self.refined: Refined
        """Of the current frame."""

    @torch.no_grad()
    def advance(self, features: Features) -> list[Tensor]:
        odds = odds_of(self.tracking.find(features))
        self.refined = refined(self.net.decoder, features, odds, self.tracking.present, self.trust)
        self.tracking.remember(shares_from(self.refined.odds))
        return self._objects(self.refined.odds)


class RepromptFollower(Follower):
    """The segmenter, prompted on each frame with the last mask's logits and box."""

    def __init__(self, net: SonoSamLite) -> None:
        self.net = net

    def start(self, features: Features, logits: Sequence[Tensor]) -> None:
        self.last = list(logits)

    @torch.no_grad()
    def advance(self, features: Features) -> list[Tensor]:
        each = Features(*(part.expand(len(self.last), -1, -1, -1) for part in features))
        self.last = list(redrawn(self.net.decoder, each, torch.stack(self.last)).logits)
        return list(self.last)

    def correct(self, features: Features, logits: Sequence[Tensor]) -> None:
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

    dice: list[float] = field(default_factory=list)
    """Per frame, before any intervention on it."""
    drops: list[float] = field(default_factory=list)
    """Per intervention: Dice lost since the frame before."""
    clicks: int = 0
    """In all interventions."""
    first_clicks: int = 0
    alone_dice: list[float] = field(default_factory=list)
    """Per frame, from the true first mask and without interventions."""
    alone_area: list[float] = field(default_factory=list)
    """The same: area over the true one."""

    @property
    def interventions(self) -> int:
        """Number of interventions."""
        return len(self.drops)


@torch.no_grad()
def encoded(net: SonoSamLite, grey: Tensor) -> list[Features]:
    """Features of each frame, from [frames, 1, 256, 256] grey levels."""
    of_all = net.encoder(net.encoder.normalise(grey))
    return [Features(*(part[at : at + 1] for part in of_all)) for at in range(len(grey))]


def play(net: SonoSamLite, follower: Follower, loop: Loop, frames: Sequence[Features]) -> dict[str, ObjectResult]:
    """One loop with the simulated user; `frames` are its features from `encoded`."""
    results = {name: ObjectResult() for name in OBJECTS}
    names = list(OBJECTS)
    kept = [1.0] * len(names)
    for frame, features in enumerate(frames):
        truths = [(loop.ids[frame] == OBJECTS[name]).cpu().numpy() for name in names]
        if frame == 0:
            logits = []
            for name, truth in zip(names, truths, strict=True):
                found, used = click_until_good(net, features, truth, None, FIRST_CLICKS_MAX)
                results[name].first_clicks = used
                logits.append(found)
            follower.start(features, logits)
            continue
        logits = follower.advance(features)
        is_corrected = False
        for at, (name, truth) in enumerate(zip(names, truths, strict=True)):
            overlap = dice(on_grid(logits[at]), truth)
            results[name].dice.append(overlap)
            if overlap < ACCEPTED_DICE:
                results[name].drops.append(kept[at] - overlap)
                logits[at], used = click_until_good(net, features, truth, logits[at], CORRECTIONS_MAX)
                results[name].clicks += used
                is_corrected = True
                overlap = dice(on_grid(logits[at]), truth)
            kept[at] = overlap
        if is_corrected:
            follower.correct(features, logits)
    return results


def play_alone(follower: Follower, loop: Loop, frames: Sequence[Features], results: dict[str, ObjectResult]) -> None:
    """Tracks the true first masks through the loop without interventions; adds to `results`."""
    first = shares_of(loop.ids[:1]).logit(SURE)[0]
    follower.start(frames[0], [first[id_] for id_ in OBJECTS.values()])
    for frame, features in enumerate(frames[1:], start=1):
        for (name, id_), logits in zip(OBJECTS.items(), follower.advance(features), strict=True):
            truth, mask = (loop.ids[frame] == id_).cpu().numpy(), on_grid(logits)
            results[name].alone_dice.append(dice(mask, truth))
            results[name].alone_area.append(float(mask.sum() / truth.sum()))


def click_until_good(
    net: SonoSamLite, features: Features, truth: Mask, before: Tensor | None, most: int
) -> tuple[Tensor, int]:
    """Clicks until the mask is good. Returns the logits and the number of clicks."""
    made: list[Click] = []
    logits = before
    # As in a session: the propagated mask's box is part of the prompt.
    carried = on_grid(before) if before is not None else np.zeros_like(truth)
    box = box_of(carried) if carried.any() else None
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


Played = dict[str, dict[str, list[ObjectResult]]]
"""Per follower and object, the results of each loop."""


def play_loops(net: SonoSamLite, followers: dict[str, Follower], loops: Loops, most: int | None = None) -> Played:
    """Plays all loops, or the first `most`, with each follower."""
    played: Played = {name: {of: [] for of in OBJECTS} for name in followers}
    for at in tqdm(range(len(loops.patients))[:most], desc="loops", mininterval=5):
        # Made on the CPU: the same on every machine.
        loop = loops.make(at, TEST_SEED + at).to(net.encoder.device)
        frames = encoded(net, loop.grey)
        for name, follower in followers.items():
            results = play(net, follower, loop, frames)
            play_alone(follower, loop, frames, results)
            for of, result in results.items():
                played[name][of].append(result)
    return played


def means(results: Sequence[ObjectResult]) -> dict[str, float]:
    """The table's columns: means over the loops. `alone_area` is that of the frame before the end-systolic one: that frame is
    a warped image like all others."""
    drops = [drop for result in results for drop in result.drops]
    return {
        "loops": float(len(results)),
        "interventions": float(np.mean([result.interventions for result in results])),
        "drop_before": float(np.mean(drops)) if drops else 0.0,
        "clicks": float(np.mean([result.clicks for result in results])),
        "clicks_each": sum(result.clicks for result in results) / max(len(drops), 1),
        "first_clicks": float(np.mean([result.first_clicks for result in results])),
        "dice": float(np.mean([np.mean(result.dice) for result in results])),
        "dice_systole": float(np.mean([result.dice[MIDDLE - 1] for result in results])),
        "alone_dice": float(np.mean([np.mean(result.alone_dice) for result in results])),
        "alone_area": float(np.mean([result.alone_area[MIDDLE - 2] for result in results])),
    }
