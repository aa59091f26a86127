"""Following objects with a gate: what the tracker finds, the segmenter redraws, and evidence judges, before it is remembered.

In a scanner there is time for the segmenter to redraw and check some objects a frame, in turn. The others keep the tracker's
mask, and the segmenter's part of their evidence, which ages.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.evidence import Looks, evidence_of, looks_of
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import IDS, Tracker
from sonotrace_models.nets.tracking import REFINED_TRUST, SURE, Tracking, odds_of, redrawn, shares_from

CHECKED = ("iou", "iou_lost", "gap", "agreement")
"""Evidence from the segmenter's answer; it is kept until the object's next turn."""
AGE_MAX = 16.0
"""Frames: an older answer says no less."""


class Followed(NamedTuple):
    """A frame's objects; ids that are not followed have no meaning."""

    odds: Tensor
    """[batch, 11, 128, 128]"""
    evidence: dict[str, Tensor]
    """[batch, 11] each"""
    age: Tensor
    """[batch, 11]: frames since the segmenter checked the object"""


class Following:
    """The state of a batch of sequences whose objects are followed."""

    def __init__(
        self, net: SonoSamLite, tracker: Tracker, checks_a_frame: int = IDS, trust: float = REFINED_TRUST
    ) -> None:
        """`checks_a_frame`: objects that the segmenter redraws on each frame."""
        self.net, self.tracker, self.checks, self.trust = net, tracker, checks_a_frame, trust
        self.tracking: Tracking
        self._reference: Looks
        self._before: Looks
        self._checked: dict[str, Tensor]
        self._age: Tensor
        self._turn: Tensor
        self._found: Tensor

    def start(self, features: Features, grey: Tensor, odds: Tensor, present: Tensor) -> None:
        """Sets the reference.

        Args:
            grey: [batch, 1, 256, 256] in [0, 1].
            odds: [batch, 11, 128, 128].
            present: [batch, 11]: 1 for ids that are followed, and for the background.
        """
        self.tracking = Tracking(self.tracker, len(grey), grey.device)
        self.tracking.refer(features, shares_from(odds))
        self.tracking.present = present
        drawn, iou = self._drawn(features, odds, present > 0)
        self._reference = self._before = looks_of(features, self.tracker.look(features).key, grey, odds, iou)
        self._age = torch.zeros_like(present)
        self._turn = torch.zeros_like(present[:, 0])
        evidence = evidence_of(self._before, self._before, self._reference, odds, odds, drawn)
        self._checked = {name: evidence[name] for name in CHECKED}

    def find(self, features: Features, grey: Tensor) -> Followed:
        """Finds the objects in the next frame; the caller must call `remember` afterwards."""
        tracking = self.tracking
        tracked = odds_of(tracking.find(features))
        chosen = self._take_turns()
        drawn, iou = self._drawn(features, tracked, chosen)
        mixed = (self.trust * drawn.sigmoid() + (1 - self.trust) * tracked.sigmoid()).logit(SURE)
        odds = torch.where(chosen[..., None, None], mixed, tracked)
        now = looks_of(features, tracking.found.key, grey, odds, iou)
        evidence = evidence_of(now, self._before, self._reference, odds, tracked, drawn)
        self._checked = {name: torch.where(chosen, evidence[name], self._checked[name]) for name in CHECKED}
        self._age = torch.where(chosen, 0, self._age + 1)
        evidence |= self._checked
        evidence["age"] = self._age.clamp(max=AGE_MAX)
        self._before = now
        self._found = odds
        return Followed(odds, evidence, self._age)

    def remember(self, is_trusted: Tensor) -> None:
        """Remembers the last frame's masks of the objects, [batch, 11] bool, that are trusted."""
        self.tracking.remember(shares_from(self._found), is_trusted)

    def _take_turns(self) -> Tensor:
        """[batch, 11] bool: the objects that are checked now."""
        present = self.tracking.present.clone()
        present[:, 0] = 0
        count = present.sum(1, keepdim=True).clamp(min=1)
        place = present.cumsum(1) - 1
        after = torch.remainder(place - self._turn[:, None], count)
        self._turn = torch.remainder(self._turn + self.checks, count[:, 0])
        return (present > 0) & (after < self.checks)

    def _drawn(self, features: Features, before: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        """The segmenter's answers for some masks, [batch, 11] bool; the others unchanged, with an IoU of 0."""
        rows, ids = where.nonzero(as_tuple=True)
        keep = ids > 0
        rows, ids = rows[keep], ids[keep]
        answer = redrawn(self.net.decoder, Features(*(part[rows] for part in features)), before[rows, ids])
        drawn, iou = before.clone(), torch.zeros_like(before[:, :, 0, 0])
        drawn[rows, ids], iou[rows, ids] = answer.logits, answer.iou
        return drawn, iou
