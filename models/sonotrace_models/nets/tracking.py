"""Tracking through a sequence in fixed memory: what the runtime does with the tracker's two programs.

Slot 0 of the long-term memory holds the reference and is only replaced by a newer one; the other slots are a ring that
takes a frame in every few frames. The short-term memory is the frame before.
"""

import torch
from torch import Tensor

from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.tracker import IDS, KEY, MASK_SIDE, NEVER, SLOTS, TOKENS, WIDTH, Memory, Tracker

KEPT_EVERY = 4
"""Frames from one that is kept to the next."""


class Tracking:
    """The state of a batch of sequences."""

    def __init__(self, tracker: Tracker, batch: int, device: torch.device, kept_every: int = KEPT_EVERY) -> None:
        self.tracker = tracker
        self.kept_every = kept_every
        widths = (KEY, WIDTH, WIDTH)
        self._slots = [
            Memory(*(torch.zeros(batch, TOKENS, width, device=device) for width in widths)) for _ in range(SLOTS)
        ]
        self._is_valid = torch.zeros(batch, SLOTS, device=device)
        self._short = self._slots[0]
        self._next = 1
        self._since_kept = 0
        self.present = torch.zeros(batch, IDS, device=device)
        """1 for ids that are tracked; the background always is."""

    def refer(self, features: Features, shares: Tensor) -> None:
        """Takes a frame whose masks are known as the reference, and as the frame before.

        Args:
            shares: [batch, 11, 128, 128]: of the ids in each pixel.
        """
        seen = self.tracker.look(features)
        self._short = Memory(seen.key, seen.value, self.tracker.identify(shares))
        self._slots[0] = self._short
        self._is_valid = self._is_valid.clone()
        self._is_valid[:, 0] = 1
        self.present = (shares.flatten(2).amax(2) > 0).float()
        self.present[:, 0] = 1

    def advance(self, features: Features) -> Tensor:
        """Tracks into the next frame: logits [batch, 11, 128, 128], very low for ids that are not tracked."""
        long = Memory(*(torch.cat(parts, 1) for parts in zip(*self._slots, strict=True)))
        step = self.tracker(features, long, self._is_valid, self._short)
        logits = step.logits.float() + ((1 - self.present) * NEVER)[..., None, None]
        # Gradients of a long sequence go through keys and values; through each frame's masks they would explode.
        shares = logits.detach().softmax(1)
        self._short = Memory(step.key, step.value, self.tracker.identify(shares))
        self._since_kept += 1
        if self._since_kept >= self.kept_every:
            self._keep()
        return logits

    def _keep(self) -> None:
        self._since_kept = 0
        self._slots[self._next] = self._short
        self._is_valid = self._is_valid.clone()
        self._is_valid[:, self._next] = 1
        self._next = self._next % (SLOTS - 1) + 1


def shares_of(ids: Tensor) -> Tensor:
    """[batch, 256, 256] ids to [batch, 11, 128, 128] shares of each id in each pixel; ids beyond 10 count as background."""
    objects = torch.stack([ids == id_ for id_ in range(1, IDS)], 1).float()
    objects = torch.nn.functional.avg_pool2d(objects, ids.shape[-1] // MASK_SIDE)
    return torch.cat([1 - objects.sum(1, keepdim=True), objects], 1)
