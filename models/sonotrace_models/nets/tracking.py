"""Tracking through a sequence in fixed memory, by the same steps as the tracker's two programs in the runtime.

Slot 0 of the long-term memory holds the reference, the frame on which tracking began. The other slots are a ring of frames:
one in every few frames is stored, and each frame that the user corrected. The short-term memory is the previous frame. The
anchor, whose masks are warped to later frames, is the reference at first. Later it is replaced at a fixed interval, and by
each frame that the user corrected.

A tracked mask can be refined: the segmenter draws it again, and a weighted mean of both is remembered. The tracker knows the
appearance of the object, the segmenter the position of edges.
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
"""Interval in frames between memories that are stored."""
ANCHORED_EVERY = 8
"""Interval in frames between anchors: motion cannot be found once the anchor looks too different."""
REFINED_TRUST = 0.25
"""Weight of the segmenter's mask against the tracked mask; chosen on val."""
SURE = 1e-6
"""Minimum distance of a probability from 0 and 1 before it becomes a logit."""


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
        """Frames since the anchor."""
        self._features: Features
        self._found: Step
        self._next = self._last = 1
        self._since_kept = 0
        self.present = torch.zeros(batch, IDS, device=device)
        """1 for ids that are tracked, and for the background."""

    def refer(self, features: Features, shares: Tensor) -> None:
        """Stores a frame with known masks as the reference, as the anchor and as the previous frame.

        Args:
            shares: [batch, 11, 128, 128]: of the ids in each pixel.
        """
        self._short = self._memory(features, shares)
        self._slots[0] = self._short
        self._set_anchor(features, shares, still(len(shares), shares.device).step)
        self._is_valid = self._is_valid.clone()
        self._is_valid[:, 0] = 1
        self.present = (shares.flatten(2).amax(2) > 0).float()
        self.present[:, 0] = 1

    def correct(self, features: Features, shares: Tensor) -> None:
        """Replaces the current frame's masks by the user's. The frame becomes the previous frame and the anchor, and is stored
        in the ring; the reference stays."""
        self._short = self._memory(features, shares)
        self._set_anchor(features, shares, self._anchor.so_far.step)
        if self._since_kept == 0:
            # This frame was already stored with its wrong masks: overwrite them.
            self._next = self._last
        self._store()

    def advance(self, features: Features) -> Tensor:
        """Tracks the next frame and remembers its masks. Returns logits [batch, 11, 128, 128], very low for ids that are not
        tracked."""
        logits = self.find(features)
        self.remember(logits.softmax(1))
        return logits

    def find(self, features: Features) -> Tensor:
        """Tracks the next frame; the caller must call `remember` afterwards."""
        self._features = features
        self._found = self.tracker(features, self._slots, self._is_valid, self._short, self._anchor)
        self.since_anchor += 1
        return self._found.logits.float() + ((1 - self.present) * NEVER)[..., None, None]

    @property
    def moved(self) -> Moved:
        """Motion of the last tracked frame since the anchor."""
        return self._found.moved

    def remember(self, shares: Tensor) -> None:
        """Remembers the last tracked frame with the masks `shares`, [batch, 11, 128, 128]."""
        self._short = Memory(self._found.key, self._found.value, self.tracker.identify(shares))
        so_far = Moved(*(part.detach() for part in self._found.moved))
        self._anchor = self._anchor._replace(so_far=so_far)
        if self.since_anchor >= self.anchored_every:
            self._set_anchor(self._features, shares, so_far.step)
        self._since_kept += 1
        if self._since_kept >= self.kept_every:
            self._store()

    def _memory(self, features: Features, shares: Tensor) -> Memory:
        seen = self.tracker.look(features)
        return Memory(seen.key, seen.value, self.tracker.identify(shares))

    def _set_anchor(self, features: Features, shares: Tensor, step: Tensor) -> None:
        """Makes a frame the anchor."""
        self._anchor = Anchor(features.textures, shares, Moved(torch.zeros_like(step), step))
        self.since_anchor = 0

    def _store(self) -> None:
        """Stores the previous frame's memory in the ring."""
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
    """[batch, 11, 128, 128] logits of the ids to the log-odds of each id against all others."""
    return logits.softmax(1).logit(SURE)


def shares_from(odds: Tensor) -> Tensor:
    """[batch, 11, 128, 128] log-odds of the ids to shares. Only the objects' odds are used: objects share a pixel in
    proportion to their odds, and the background gets the rest."""
    return torch.cat([torch.zeros_like(odds[:, :1]), odds[:, 1:]], 1).softmax(1)


class Redrawn(NamedTuple):
    """The segmenter's masks for tracked masks."""

    logits: Tensor
    """[rows, 128, 128]"""
    iou: Tensor
    """[rows]: the decoder's own estimate of their overlap with the truth"""


class Refined(NamedTuple):
    """Tracked objects, and the segmenter's masks for them; rows are the present objects, in order."""

    odds: Tensor
    """[batch, 11, 128, 128]: log-odds of the weighted mean of both"""
    tracked: Tensor
    """[rows, 128, 128]: the tracker's own odds"""
    drawn: Redrawn


def redrawn(decoder: Decoder, features: Features, before: Tensor) -> Redrawn:
    """The segmenter's masks when prompted with tracked masks, [rows, 128, 128] logits, and their boxes.

    An empty mask is returned unchanged, with an IoU of 0.
    """
    mask = before > 0
    is_there = mask.flatten(1).any(1)
    answer = decoder(*features, carried_box(mask, is_there).prompt(before[:, None], is_there.float()))
    logits = torch.where(is_there[:, None, None], answer.mask[:, 0].float(), before)
    return Redrawn(logits, answer.iou[:, 0].float().clamp(0, 1) * is_there)


def refined(decoder: Decoder, features: Features, odds: Tensor, present: Tensor, trust: float) -> Refined:
    """Log-odds of tracked objects, [batch, 11, 128, 128], each averaged with the segmenter's mask at weight `trust`."""
    rows, ids = present[:, 1:].nonzero(as_tuple=True)
    tracked = odds[rows, ids + 1]
    drawn = redrawn(decoder, Features(*(part[rows] for part in features)), tracked)
    mixed = odds.clone()
    mixed[rows, ids + 1] = (trust * drawn.logits.sigmoid() + (1 - trust) * tracked.sigmoid()).logit(SURE)
    return Refined(mixed, tracked, drawn)
