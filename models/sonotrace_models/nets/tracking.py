"""Tracking through a sequence in fixed memory: what the runtime does with the tracker's two programs.

Slot 0 of the long-term memory holds the reference, the frame on which tracking began; the other slots are a ring that takes
a frame in every few frames, and each that the user corrected. The short-term memory is the frame before. The anchor, whose
masks are moved along, is the reference at first, then a frame in every so many frames, and each that the user corrected.

A tracked mask can be refined: the segmenter draws it anew, and what both say is remembered. The tracker knows what the
object looked like, the segmenter where edges are.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sonotrace_models.nets.decoder import Decoder
from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.motion import Moved, still
from sonotrace_models.nets.tracker import (
    IDS,
    KEY,
    MASK_SIDE,
    NEVER,
    SLOTS,
    TOKENS,
    WIDTH,
    Anchor,
    Memory,
    Step,
    Tracker,
)
from sonotrace_models.prompts import carried_box

KEPT_EVERY = 4
"""Frames from one that is kept to the next."""
ANCHORED_EVERY = 8
"""Frames from one anchor to the next: what does not look like it any more gives no motion."""
REFINED_TRUST = 0.25
"""What the segmenter's drawing of a tracked mask counts against that mask; chosen on val."""
SURE = 1e-6
"""Probabilities come no closer to 0 and 1 where they become logits."""


class Tracking:
    """The state of a batch of sequences."""

    def __init__(
        self,
        tracker: Tracker,
        batch: int,
        device: torch.device,
        kept_every: int = KEPT_EVERY,
        anchored_every: int = ANCHORED_EVERY,
    ) -> None:
        self.tracker = tracker
        self.kept_every, self.anchored_every = kept_every, anchored_every
        widths = (KEY, WIDTH, WIDTH)
        self._slots = [
            Memory(*(torch.zeros(batch, TOKENS, width, device=device) for width in widths)) for _ in range(SLOTS)
        ]
        self._is_valid = torch.zeros(batch, SLOTS, device=device)
        self._short = self._slots[0]
        self._anchor: Anchor
        self.since_anchor = 0
        """Frames from the anchor to the one that was last found."""
        self._features: Features
        self._found: Step
        self._next = self._last = 1
        self._since_kept = 0
        self.present = torch.zeros(batch, IDS, device=device)
        """1 for ids that are tracked; the background always is."""

    def refer(self, features: Features, shares: Tensor) -> None:
        """Takes a frame whose masks are known as the reference, and as the frame before.

        Args:
            shares: [batch, 11, 128, 128]: of the ids in each pixel.
        """
        self._short = self._memory(features, shares)
        self._slots[0] = self._short
        nothing = still(len(shares), shares.device)
        self._hold(features, shares, nothing.step)
        self._is_valid = self._is_valid.clone()
        self._is_valid[:, 0] = 1
        self.present = (shares.flatten(2).amax(2) > 0).float()
        self.present[:, 0] = 1

    def correct(self, features: Features, shares: Tensor) -> None:
        """Takes the masks that the user gave the frame at hand, in place of what was found: they are remembered as the frame
        before, and kept; the reference stays."""
        self._short = self._memory(features, shares)
        self._hold(features, shares, self._anchor.so_far.step)
        if self._since_kept == 0:
            # What was found on this frame, or given before, was kept: it was wrong.
            self._next = self._last
        self._keep()

    def advance(self, features: Features) -> Tensor:
        """Tracks into the next frame and remembers what was found: logits [batch, 11, 128, 128], very low for ids that are
        not tracked."""
        logits = self.find(features)
        self.remember(logits.softmax(1))
        return logits

    def find(self, features: Features) -> Tensor:
        """Tracks into the next frame; `remember` is to follow."""
        self._features = features
        self._found = self.tracker(features, self._slots, self._is_valid, self._short, self._anchor)
        self.since_anchor += 1
        return self._found.logits.float() + ((1 - self.present) * NEVER)[..., None, None]

    @property
    def moved(self) -> Moved:
        """How far the frame that was last found has moved since the anchor."""
        return self._found.moved

    def remember(self, shares: Tensor) -> None:
        """Takes the masks of the frame that was last found, [batch, 11, 128, 128], as its memory."""
        self._short = Memory(self._found.key, self._found.value, self.tracker.identify(shares))
        so_far = Moved(*(part.detach() for part in self._found.moved))
        self._anchor = self._anchor._replace(so_far=so_far)
        if self.since_anchor >= self.anchored_every:
            self._hold(self._features, shares, so_far.step)
        self._since_kept += 1
        if self._since_kept >= self.kept_every:
            self._keep()

    def _memory(self, features: Features, shares: Tensor) -> Memory:
        seen = self.tracker.look(features)
        return Memory(seen.key, seen.value, self.tracker.identify(shares))

    def _hold(self, features: Features, shares: Tensor, step: Tensor) -> None:
        """Makes a frame the anchor."""
        self._anchor = Anchor(features.textures, shares, Moved(torch.zeros_like(step), step))
        self.since_anchor = 0

    def _keep(self) -> None:
        self._since_kept = 0
        self._slots[self._next] = self._short
        self._is_valid = self._is_valid.clone()
        self._is_valid[:, self._next] = 1
        self._last, self._next = self._next, self._next % (SLOTS - 1) + 1


def shares_of(ids: Tensor) -> Tensor:
    """[batch, 256, 256] ids to [batch, 11, 128, 128] shares of each id in each pixel; ids beyond 10 count as background."""
    objects = torch.stack([ids == id_ for id_ in range(1, IDS)], 1).float()
    objects = torch.nn.functional.avg_pool2d(objects, ids.shape[-1] // MASK_SIDE)
    return torch.cat([1 - objects.sum(1, keepdim=True), objects], 1)


def odds_of(logits: Tensor) -> Tensor:
    """[batch, 11, 128, 128] logits of the ids to each id's own logit, against all others."""
    return logits.softmax(1).logit(SURE)


def shares_from(odds: Tensor) -> Tensor:
    """[batch, 11, 128, 128] of the ids, of which the objects' count, to shares: where several claim a pixel it goes to them
    by their odds, and the background has what nobody claims."""
    return torch.cat([torch.zeros_like(odds[:, :1]), odds[:, 1:]], 1).softmax(1)


class Redrawn(NamedTuple):
    """What the segmenter makes of masks from elsewhere."""

    logits: Tensor
    """[rows, 128, 128]"""
    iou: Tensor
    """[rows]: its own estimate of their overlap with the truth"""


class Refined(NamedTuple):
    """Tracked objects, and what the segmenter made of them; rows are those of the objects that are present, in order."""

    odds: Tensor
    """[batch, 11, 128, 128]: both mixed"""
    tracked: Tensor
    """[rows, 128, 128]: the tracker's own odds"""
    drawn: Redrawn


def redrawn(decoder: Decoder, features: Features, before: Tensor) -> Redrawn:
    """The segmenter's answers to masks from elsewhere, [rows, 128, 128] logits: it is told these and their boxes.

    Where there is no mask, `before` stays, with an overlap of 0.
    """
    mask = before > 0
    is_there = mask.flatten(1).any(1)
    answer = decoder(*features, carried_box(mask, is_there).prompt(before[:, None], is_there.float()))
    logits = torch.where(is_there[:, None, None], answer.mask[:, 0].float(), before)
    return Redrawn(logits, answer.iou[:, 0].float().clamp(0, 1) * is_there)


def refined(decoder: Decoder, features: Features, odds: Tensor, present: Tensor, trust: float) -> Refined:
    """Odds of tracked objects, [batch, 11, 128, 128], each mixed with what the segmenter makes of it."""
    rows, ids = present[:, 1:].nonzero(as_tuple=True)
    tracked = odds[rows, ids + 1]
    drawn = redrawn(decoder, Features(*(part[rows] for part in features)), tracked)
    mixed = odds.clone()
    mixed[rows, ids + 1] = (trust * drawn.logits.sigmoid() + (1 - trust) * tracked.sigmoid()).logit(SURE)
    return Refined(mixed, tracked, drawn)
