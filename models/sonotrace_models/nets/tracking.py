"""Tracking through a sequence in fixed memory, by the same steps as the tracker's two programs in the runtime.

A slot of the long-term memory holds the reference of some objects: the frame on which the user drew them. Tracking begins
with a reference in slot 0; an object that is added later gets a reference of its own. The slots that hold no reference are a
ring of frames: one in every few frames is stored, and each frame that the user corrected. The short-term memory is the
previous frame. When each slot holds a reference, one more takes over a slot: that of objects which the frame of the new
reference knows, too. Their reference is that frame from then on.

The anchor, whose masks are warped to later frames, is the reference at first. It is replaced by each frame that the user
corrected, and by one with trusted masks that its own masks, warped, no longer fit: each replacement adds the errors of the
masks so far.

A mask that is not trusted is not learnt from: one that shrinks while its object is hidden would teach the tracker that there
is no object. A frame without any trusted mask leaves all of this as it was, and the next frame is tracked from the last one
that was remembered. A frame with some is remembered, but does not know the other objects (`Tracker`): those keep their
reference, and what other memories know of them.

A tracked mask can be refined: the segmenter draws it again, and a weighted mean of both is remembered. The tracker knows the
appearance of the object, the segmenter the position of edges.
"""

from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from sonotrace_models.nets.decoder import Decoder
from sonotrace_models.nets.encoder import Features, Textures
from sonotrace_models.nets.evidence import overlap
from sonotrace_models.nets.layers import double
from sonotrace_models.nets.motion import Moved, follow, still
from sonotrace_models.nets.tracker import (
    IDS,
    KEY,
    MASK_SIDE,
    MEMORIES,
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
"""Minimum interval in frames between anchors."""
ANCHOR_DICE = 0.7
"""The anchor is replaced when its mask of an object, warped, has a lower Dice with the object's trusted mask: motion cannot be
found once the anchor looks too different. Chosen on val."""
REFINED_TRUST = 0.25
"""Weight of the segmenter's mask against the tracked mask; chosen on val."""
SHORT, ANCHOR = SLOTS, SLOTS + 1
"""Places of the short-term memory and of the anchor in the list of what memories know, after the slots."""
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
        anchor_dice: float = ANCHOR_DICE,
    ) -> None:
        """`anchor_dice` of infinity replaces the anchor at each interval."""
        self.tracker = tracker
        self.kept_every, self.anchored_every, self.anchor_dice = kept_every, anchored_every, anchor_dice
        widths = (KEY, WIDTH, WIDTH)
        self._slots = [
            Memory(*(torch.zeros(batch, TOKENS, width, device=device) for width in widths)) for _ in range(SLOTS)
        ]
        self._known = torch.zeros(batch, MEMORIES, IDS, device=device)
        self._short = self._slots[0]
        self._anchor: Anchor
        self._since_anchor = torch.zeros(batch, dtype=torch.long, device=device)
        self._features: Features
        self._found: Step
        self._next = torch.ones_like(self._since_anchor)
        self._last = torch.ones_like(self._since_anchor)
        """The slot from which the next one to be written is searched, and the one that was written last."""
        self.references = torch.zeros(batch, SLOTS, IDS, dtype=torch.bool, device=device)
        """The objects whose reference each slot holds."""
        self._since_kept = torch.zeros_like(self._since_anchor)
        """Trusted frames since then."""
        self.present = torch.zeros(batch, IDS, device=device)
        """1 for ids that are tracked, and for the background."""

    def refer(self, features: Features, shares: Tensor) -> None:
        """Stores a frame with known masks as the reference, as the anchor and as the previous frame.

        Args:
            shares: [batch, 11, 128, 128]: of the ids in each pixel.
        """
        self._short = self._memory(features, shares)
        self._slots[0] = self._short
        self._anchor = Anchor(features.textures, shares, still(len(shares), shares.device))
        self._since_anchor = torch.zeros_like(self._since_anchor)
        self._known = torch.zeros_like(self._known)
        self._known[:, [0, SHORT, ANCHOR]] = 1
        self.present = (shares.flatten(2).amax(2) > 0).float()
        self.present[:, 0] = 1
        self.references = torch.zeros_like(self.references)
        self.references[:, 0, 1:] = True

    def correct(
        self, features: Features, shares: Tensor, is_trusted: Tensor | None = None, new: Tensor | None = None
    ) -> None:
        """Replaces the current frame's masks by the user's. The frame becomes the previous frame and the anchor, and is
        stored; references stay.

        Args:
            is_trusted: as in `remember`.
            new: [batch, 11] bool: objects whose reference the frame becomes. `room_to_correct` must have told that there is a
                slot for it.
        """
        every = torch.ones_like(self._next, dtype=torch.bool)
        self._short = self._memory(features, shares)
        objects = torch.ones_like(self.present, dtype=torch.bool) if is_trusted is None else is_trusted
        self._know(SHORT, self._ids_of(objects), every)
        self._set_anchor(features, shares, self._anchor.so_far.step, every)
        # A frame that was just stored with its wrong masks is overwritten.
        slots = torch.where(self._since_kept == 0, self._last, self._unpinned())
        if new is not None:
            for row in new.any(1).nonzero().flatten().tolist():
                slots[row] = self.room_to_correct(row, objects[row])
                self.references[row, :, new[row]] = False
                self._known[row, :SLOTS][:, new[row]] = 0
                self.references[row, slots[row]] |= new[row]
        self._store(every, slots)

    def insert(self, features: Features, shares: Tensor, objects: Tensor) -> None:
        """Stores an earlier frame, on which the user drew one object of a sequence, [batch, 11] bool, as the object's
        reference. What else is remembered of the object is forgotten. `room_for` must have told that there is a slot."""
        drawn = self._memory(features, shares)
        for row in objects.any(1).nonzero().flatten().tolist():
            slot = self.room_for(row, objects[row])
            self._forget(row, objects[row])
            self.references[row, slot] = objects[row]
            here = torch.arange(len(objects), device=objects.device) == row
            self._slots[slot] = _chosen(here, drawn, self._slots[slot])
            self._know(slot, self._ids_of(objects), here)
            if slot == self._last[row]:
                # It no longer holds the previous frame.
                self._since_kept[row] = max(int(self._since_kept[row]), 1)
            self._next[row] = (slot + 1) % SLOTS

    def remove(self, objects: Tensor) -> None:
        """Forgets objects, [batch, 11] bool."""
        for row in range(len(objects)):
            self._forget(row, objects[row])
        self.present = torch.where(objects, 0, self.present)

    def _forget(self, row: int, objects: Tensor) -> None:
        self._known = self._known.clone()
        self._known[row][:, objects] = 0
        self.references[row, :, objects] = False

    def room_for(self, row: int, objects: Tensor) -> int:
        """The slot for the reference of a frame of a sequence that knows these objects, [11] bool: one without a reference, or
        else one whose objects the frame knows, too; -1 if there is none."""
        unpinned = int(self._unpinned()[row])
        if unpinned >= 0:
            return unpinned
        order = [(int(self._next[row]) + at) % SLOTS for at in range(SLOTS)]
        return next((slot for slot in order if not (self._referred()[row, slot] & ~objects).any()), -1)

    def room_to_correct(self, row: int, objects: Tensor) -> int:
        """The slot for the last frame of a sequence when it is corrected and becomes a reference: the one that holds it, or
        else one for these objects; -1 if there is none."""
        return int(self._last[row]) if self._since_kept[row] == 0 else self.room_for(row, objects)

    def _referred(self) -> Tensor:
        """[batch, slots, 11] bool: `references` of the objects that are tracked."""
        return self.references & (self.present > 0)[:, None] & (torch.arange(IDS, device=self.present.device) > 0)

    def _unpinned(self) -> Tensor:
        """[batch]: the next slot of each sequence that holds no reference; -1 if each holds one."""
        is_pinned = self._referred().any(2)
        slot = torch.full_like(self._next, -1)
        for at in reversed(range(SLOTS)):
            candidate = (self._next + at) % SLOTS
            free = ~is_pinned.gather(1, candidate[:, None])[:, 0]
            slot = torch.where(free, candidate, slot)
        return slot

    def advance(self, features: Features) -> Tensor:
        """Tracks the next frame and remembers its masks. Returns logits [batch, 11, 128, 128], very low for ids that are not
        tracked."""
        logits = self.find(features)
        self.remember(logits.softmax(1))
        return logits

    def find(self, features: Features) -> Tensor:
        """Tracks the next frame; the caller must call `remember` afterwards."""
        self._features = features
        self._found = self.tracker(features, self._slots, self._known, self._short, self._anchor)
        self._since_anchor = self._since_anchor + 1
        return self._found.logits.float() + ((1 - self.present) * NEVER)[..., None, None]

    @property
    def found(self) -> Step:
        """The last tracked frame."""
        return self._found

    @property
    def moved(self) -> Moved:
        """Motion of the last tracked frame since the anchor."""
        return self._found.moved

    @property
    def since_anchor(self) -> Tensor:
        """[batch]: frames since the anchor of each sequence."""
        return self._since_anchor

    def remember(self, shares: Tensor, is_trusted: Tensor | None = None) -> None:
        """Remembers the last tracked frame with the masks `shares`, [batch, 11, 128, 128].

        Args:
            is_trusted: [batch, 11] bool: the objects whose masks are; all by default. Of a sequence without any, nothing is
                remembered.
        """
        objects = torch.ones_like(self.present, dtype=torch.bool) if is_trusted is None else is_trusted
        trusted = (objects & (self.present > 0))[:, 1:].any(1)
        found = Memory(self._found.key, self._found.value, self.tracker.identify(shares))
        self._short = _chosen(trusted, found, self._short)
        self._know(SHORT, self._ids_of(objects), trusted)
        so_far = Moved(*(part.detach() for part in self._found.moved))
        self._anchor = self._anchor._replace(so_far=_chosen(trusted, so_far, self._anchor.so_far))
        due = trusted & (self._since_anchor >= self.anchored_every)
        if due.any():
            due = due & self._anchor_fails(shares, objects)
        self._set_anchor(self._features, shares, so_far.step, due)
        self._since_kept = self._since_kept + trusted
        self._store(trusted & (self._since_kept >= self.kept_every), self._unpinned())

    def _anchor_fails(self, shares: Tensor, objects: Tensor) -> Tensor:
        """[batch] bool: the anchor does not know one of these objects, or its mask does not fit where motion says."""
        warped = follow(self._anchor.shares, double(self._found.moved.flow))
        fits = overlap(warped > 0.5, shares > 0.5) >= self.anchor_dice
        return (objects & (self.present > 0) & ~(fits & (self._known[:, ANCHOR] > 0)))[:, 1:].any(1)

    def _ids_of(self, objects: Tensor) -> Tensor:
        """What a memory with some objects, [batch, 11] bool, knows: these, and the background."""
        return torch.cat([torch.ones_like(self.present[:, :1]), objects[:, 1:].float()], 1)

    def _know(self, memory: int, known: Tensor, where: Tensor) -> None:
        """Sets the ids, [batch, 11], that a memory of some sequences, [batch] bool, knows."""
        if where.any():
            self._known = self._known.clone()
            self._known[:, memory] = _either(where, known, self._known[:, memory])

    def _memory(self, features: Features, shares: Tensor) -> Memory:
        seen = self.tracker.look(features)
        return Memory(seen.key, seen.value, self.tracker.identify(shares))

    def _set_anchor(self, features: Features, shares: Tensor, step: Tensor, where: Tensor) -> None:
        """Makes a frame the anchor of some sequences, [batch] bool."""
        if where.any():
            before, textures = self._anchor, features.textures
            self._anchor = Anchor(
                _chosen(where, textures, before.textures),
                _either(where, shares, before.shares),
                _chosen(where, Moved(torch.zeros_like(step), step), before.so_far),
            )
            self._know(ANCHOR, self._known[:, SHORT], where)
            self._since_anchor = torch.where(where, 0, self._since_anchor)

    def _store(self, where: Tensor, slots: Tensor) -> None:
        """Stores the short-term memory of some sequences, [batch] bool, in slots, [batch]; -1 for none."""
        where = where & (slots >= 0)
        if where.any():
            for slot in range(SLOTS):
                self._slots[slot] = _chosen(where & (slots == slot), self._short, self._slots[slot])
                self._know(slot, self._known[:, SHORT], where & (slots == slot))
            self._since_kept = torch.where(where, 0, self._since_kept)
            self._last = torch.where(where, slots, self._last)
            self._next = torch.where(where, (slots + 1) % SLOTS, self._next)


Parts = TypeVar("Parts", Memory, Moved, Textures)


def _either(where: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """[batch, ...]: the new values of some sequences, [batch] bool, the old ones of the others."""
    return torch.where(where.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def _chosen(where: Tensor, new: Parts, old: Parts) -> Parts:
    """`_either` of each part; nothing is copied if all sequences, or none, get the new ones."""
    if where.all():
        return new
    return type(new)(*(_either(where, *both) for both in zip(new, old, strict=True))) if where.any() else old


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


def redrawn(decoder: Decoder, features: Features, before: Tensor) -> Redrawn:
    """The segmenter's masks when prompted with tracked masks, [rows, 128, 128] logits, and their boxes.

    An empty mask is returned unchanged, with an IoU of 0.
    """
    mask = before > 0
    is_there = mask.flatten(1).any(1)
    answer = decoder(*features, carried_box(mask, is_there).prompt(before[:, None], is_there.float()))
    logits = torch.where(is_there[:, None, None], answer.mask[:, 0].float(), before)
    return Redrawn(logits, answer.iou[:, 0].float().clamp(0, 1) * is_there)


def refined(decoder: Decoder, features: Features, odds: Tensor, present: Tensor, trust: float) -> Tensor:
    """Log-odds of tracked objects, [batch, 11, 128, 128], each averaged with the segmenter's mask at weight `trust`."""
    rows, ids = present[:, 1:].nonzero(as_tuple=True)
    tracked = odds[rows, ids + 1]
    drawn = redrawn(decoder, Features(*(part[rows] for part in features)), tracked)
    mixed = odds.clone()
    mixed[rows, ids + 1] = (trust * drawn.logits.sigmoid() + (1 - trust) * tracked.sigmoid()).logit(SURE)
    return mixed
