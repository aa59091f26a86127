"""Following objects in fixed memory: the tracker finds them, the segmenter redraws them, evidence judges them, and the gate
decides what is remembered.

In a scanner there is time for the segmenter to redraw and check some objects a frame, in turn. The others keep the tracker's
mask, and the segmenter's part of their evidence, which ages.

Following can correct itself: of a lost object, the segmenter's mask alone is judged, shown and remembered. The tracker finds
an object that comes back, but its mask is then a coarse one.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sonotrace_models.nets.confidence import Confidence
from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.evidence import Looks, evidence_of, looks_of, with_objects
from sonotrace_models.nets.gate import Gate
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import NEVER, OBJECTS, Tracker
from sonotrace_models.nets.tracking import REFINED_TRUST, SURE, Tracking, odds_of, redrawn, shares_from

CHECKED = ("iou", "iou_lost", "gap", "agreement")
"""Evidence from the segmenter's answer; it is kept until the object's next turn."""
AGE_MAX = 16.0
"""Frames: an older answer says no less."""


class Found(NamedTuple):
    """A frame's objects before they are judged; ids that are not followed have no meaning."""

    odds: Tensor
    """[batch, 11, 128, 128]"""
    evidence: dict[str, Tensor]
    """[batch, 11] each"""


class Followed(NamedTuple):
    """A frame's objects; ids that are not followed have no meaning."""

    odds: Tensor
    """[batch, 11, 128, 128]"""
    confidence: Tensor
    """[batch, 11]: probability that the mask has a Dice of 0.90 or more"""
    absent: Tensor
    """[batch, 11]: probability that nothing of the object lies in the field of view"""
    age: Tensor
    """[batch, 11]: frames since the segmenter checked the object"""
    is_found: Tensor
    """[batch, 11] bool: the gate's state"""


class Following:
    """The state of a batch of sequences whose objects are followed."""

    def __init__(
        self,
        net: SonoSamLite,
        tracker: Tracker,
        confidence: Confidence | None = None,
        checks_a_frame: int = OBJECTS,
        turns: int = 0,
        trust: float = REFINED_TRUST,
        correct_lost: bool = False,
    ) -> None:
        """Prepares to follow.

        Args:
            confidence: needed by `advance`.
            checks_a_frame: objects that the segmenter redraws on each frame.
            turns: objects take turns as if there were at least so many, to see what more objects lose.
            trust: weight of the segmenter's mask against the tracker's.
            correct_lost: whether this weight is 1 for objects that are lost.
        """
        self.net, self.tracker, self.confidence = net, tracker, confidence
        self.checks_a_frame, self.turns, self.trust = checks_a_frame, turns, trust
        self.correct_lost = correct_lost
        self.tracking: Tracking
        self.gate: Gate
        self._references: list[tuple[Tensor, Looks]]
        """Objects, [batch, 11] bool, and how they look in their reference; all objects are in the first one."""
        self._before: Looks
        self._checked: dict[str, Tensor]
        self._age: Tensor
        self._turn: Tensor
        self._odds: Tensor
        self._is_reference: bool
        """Whether no frame was followed since the reference of all objects."""
        self._elsewhere: Tensor
        """[batch, 11] bool: objects that were drawn on an earlier frame since the current one: where they are on this one is
        not known."""

    def start(self, features: Features, grey: Tensor, odds: Tensor, present: Tensor) -> None:
        """Sets the reference.

        Args:
            features: of the frame.
            grey: [batch, 1, 256, 256] in [0, 1].
            odds: [batch, 11, 128, 128].
            present: [batch, 11]: 1 for ids that are followed, and for the background.
        """
        self.tracking = Tracking(self.tracker, len(grey), grey.device)
        self.tracking.refer(features, shares_from(odds))
        self.tracking.present = present
        self.gate = Gate(present)
        drawn, iou = self._drawn(features, odds, present > 0)
        self._before = looks_of(features, self.tracker.look(features).key, grey, odds, iou)
        self._references = [(torch.ones_like(present, dtype=torch.bool), self._before)]
        self._age = torch.zeros_like(present)
        self._turn = torch.zeros_like(present[:, 0])
        evidence = evidence_of(self._before, self._before, self._before, odds, odds, drawn)
        self._checked = {name: evidence[name] for name in CHECKED}
        self._odds, self._is_reference = odds, True
        self._elsewhere = torch.zeros_like(present, dtype=torch.bool)

    def advance(self, features: Features, grey: Tensor) -> Followed:
        """Follows the objects to the next frame, and remembers those that the gate lets through."""
        assert self.confidence is not None
        found = self.find(features, grey)
        judged = self.confidence.of(found.evidence)
        self.remember(self.gate.judge(judged.trusted))
        return Followed(found.odds, judged.right, judged.absent, self._age, self.gate.is_found)

    def find(self, features: Features, grey: Tensor) -> Found:
        """Finds the objects in the next frame; the caller must call `remember` afterwards."""
        tracked = odds_of(self.tracking.find(features))
        chosen = self._take_turns()
        drawn, iou = self._drawn(features, tracked, chosen)
        is_alone = self.correct_lost & ~self.gate.is_found
        trust = torch.where(is_alone, 1.0, self.trust)[..., None, None]
        mixed = (trust * drawn.sigmoid() + (1 - trust) * tracked.sigmoid()).logit(SURE)
        self._odds = torch.where(chosen[..., None, None], mixed, tracked)
        now = looks_of(features, self.tracking.found.key, grey, self._odds, iou)
        evidence: dict[str, Tensor] = {}
        for objects, reference in self._references:
            of_reference = evidence_of(now, self._before, reference, self._odds, tracked, drawn)
            for name, values in of_reference.items():
                evidence[name] = torch.where(objects, values, evidence.get(name, values))
        self._checked = {name: torch.where(chosen, evidence[name], self._checked[name]) for name in CHECKED}
        self._age = torch.where(chosen, 0, self._age + 1)
        evidence |= self._checked
        evidence["age"] = self._age.clamp(max=AGE_MAX)
        self._before, self._is_reference = now, False
        self._elsewhere = torch.zeros_like(chosen)
        return Found(self._odds, evidence)

    def remember(self, is_trusted: Tensor) -> None:
        """Remembers the last frame's masks of the objects, [batch, 11] bool, that are trusted."""
        self.tracking.remember(shares_from(self._odds), is_trusted)

    def correct(self, features: Features, odds: Tensor, objects: Tensor) -> None:
        """Replaces the current frame's masks by `odds`, of which the user corrected those of some `objects`, [batch, 11]
        bool: these are found, whatever the gate said."""
        self.gate.find(objects)
        self._correct(features, odds, objects, None)
        mask = torch.where(objects[..., None, None], odds > 0, self._before.mask)
        self._before = self._before._replace(mask=mask, area=mask.float().sum((2, 3)))

    def draw(self, features: Features, grey: Tensor, odds: Tensor, objects: Tensor) -> None:
        """Replaces the current frame's masks by `odds`, of which the user drew those of some `objects`, [batch, 11] bool, that
        are new, or that are defined again: the frame becomes their reference. A frame that is the reference of all objects
        remains so."""
        present = torch.where(objects, 1, self.tracking.present)
        if self._is_reference:
            self.start(features, grey, odds, present)
            return
        self._follow(present, objects)
        self._correct(features, odds, objects, objects)
        looks = self._look(features, grey, odds, objects)
        self._before, self._odds = with_objects(self._before, looks, objects), odds
        # Also of objects whose reference the frame has taken over.
        slot = (self.tracking.references & objects[:, None]).any(2)
        with_them = (self.tracking.references & slot[..., None]).any(1) & (present > 0)
        others = with_them & ~objects
        reference = with_objects(looks, self._before, others)
        for referred, old in self._references:
            reference = reference._replace(iou=torch.where(others & referred, old.iou, reference.iou))
        self._references.append((with_them, reference))

    def draw_earlier(self, features: Features, grey: Tensor, odds: Tensor, objects: Tensor) -> None:
        """The user drew an object, [batch, 11] bool, on an earlier frame: it becomes the object's reference. Other objects'
        `odds` have no meaning. Nothing else changes until the next frame."""
        self._follow(torch.where(objects, 1, self.tracking.present), objects)
        odds = torch.where(objects[..., None, None], odds, NEVER)
        self.tracking.insert(features, shares_from(odds), objects)
        looks = self._look(features, grey, odds, objects)
        self._before, self._is_reference = with_objects(self._before, looks, objects), False
        self._references.append((objects, looks))
        self._elsewhere = self._elsewhere | objects

    def remove(self, objects: Tensor) -> None:
        """Forgets objects, [batch, 11] bool."""
        self.gate.find(objects)
        self.gate.is_followed = self.gate.is_followed & ~objects
        self.gate.is_found = self.gate.is_found & ~objects
        self._elsewhere = self._elsewhere & ~objects
        self.tracking.remove(objects)

    def _follow(self, present: Tensor, objects: Tensor) -> None:
        """Follows objects, [batch, 11] bool, too."""
        self.tracking.present = present
        self.gate.is_followed = self.gate.is_followed | objects
        self.gate.find(objects)

    def _correct(self, features: Features, odds: Tensor, objects: Tensor, new: Tensor | None) -> None:
        """Remembers the current frame anew with the objects that are known to be on it, [batch, 11] bool: those that the user
        drew, and others that are found."""
        self._elsewhere = self._elsewhere & ~objects
        odds = torch.where(self._elsewhere[..., None, None], NEVER, odds)
        self.tracking.correct(features, shares_from(odds), self.gate.is_found & ~self._elsewhere, new)

    def _look(self, features: Features, grey: Tensor, odds: Tensor, objects: Tensor) -> Looks:
        """How objects, [batch, 11] bool, look that the user drew; they are checked."""
        drawn, iou = self._drawn(features, odds, objects)
        looks = looks_of(features, self.tracker.look(features).key, grey, odds, iou)
        evidence = evidence_of(looks, looks, looks, odds, odds, drawn)
        self._checked = {name: torch.where(objects, evidence[name], self._checked[name]) for name in CHECKED}
        self._age = torch.where(objects, 0, self._age)
        return looks

    def _take_turns(self) -> Tensor:
        """[batch, 11] bool: the objects that are checked now."""
        followed = self.tracking.present > 0
        followed[:, 0] = False
        count = followed.sum(1).clamp(min=max(self.turns, 1))
        place = followed.cumsum(1) - 1
        wait = torch.remainder(place - self._turn[:, None], count[:, None])
        self._turn = torch.remainder(self._turn + self.checks_a_frame, count)
        return followed & (wait < self.checks_a_frame)

    def _drawn(self, features: Features, before: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        """The segmenter's answers for some masks, [batch, 11] bool; the others unchanged, with an IoU of 0."""
        rows, ids = where.nonzero(as_tuple=True)
        rows, ids = rows[ids > 0], ids[ids > 0]
        drawn, iou = before.clone(), torch.zeros_like(before[:, :, 0, 0])
        if len(rows):
            answer = redrawn(self.net.decoder, Features(*(part[rows] for part in features)), before[rows, ids])
            drawn[rows, ids], iou[rows, ids] = answer.logits, answer.iou
        return drawn, iou
