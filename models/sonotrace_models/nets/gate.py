"""The gate: which objects' masks are learnt from, by the probability that they may be (`Confidence.trusted`).

Three rules, each with a number or two per object as its state:

1. An object is lost when this probability falls below `LOST_BELOW`, and found again when it reaches `FOUND_FROM`.
2. Masks of a lost object are not learnt from (`Tracking.remember`). It keeps its reference, and is searched for on every
   frame.
3. While an object was lost at most `HELD_FRAMES` frames ago, nothing of a frame is remembered, also not the other objects.
   Most losses are short, and what hides one object often changes the others as well. After that, the others go on.
"""

import torch
from torch import Tensor

LOST_BELOW = 0.6
"""Rule 1."""
FOUND_FROM = 0.8
"""Rule 1; higher, so that an object at the threshold is not lost and found on each frame."""
HELD_FRAMES = 8
"""Rule 3."""


class Gate:
    """The gate's state for a batch of sequences."""

    def __init__(self, present: Tensor) -> None:
        """All objects are found at first.

        Args:
            present: [batch, 11]: 1 for ids that are followed, and for the background.
        """
        self.is_followed = present > 0
        self.is_followed[:, 0] = False
        self.is_found = self.is_followed.clone()
        """[batch, 11] bool"""
        self.lost_frames = torch.zeros_like(present)
        """[batch, 11]: frames since an object was lost; 0 for one that is found"""

    def judge(self, trusted: Tensor) -> Tensor:
        """Takes the probabilities of a frame's masks, [batch, 11], and returns which are learnt from, [batch, 11] bool."""
        self.is_found = self.is_followed & (trusted >= torch.where(self.is_found, LOST_BELOW, FOUND_FROM))
        self.lost_frames = torch.where(self.is_followed & ~self.is_found, self.lost_frames + 1, 0)
        is_held = ((self.lost_frames > 0) & (self.lost_frames <= HELD_FRAMES)).any(1, keepdim=True)
        return self.is_found & ~is_held

    def find(self, objects: Tensor) -> None:
        """Objects, [batch, 11] bool, whose masks the user has corrected are found."""
        self.is_found = self.is_found | (objects & self.is_followed)
        self.lost_frames = torch.where(self.is_found, 0, self.lost_frames)
