"""Sequences with masks for training the tracker: deformed still images, loops made from pairs of
frames, annotated recordings, hard loops."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from sonotrace_models.data.augment import Appearance
from sonotrace_models.data.fields import (
    compose,
    identity,
    random_view,
    swaying,
    warp,
    warp_ids,
)
from sonotrace_models.data.hard import HardLoops
from sonotrace_models.data.loops import MIDDLE, Loops, drift
from sonotrace_models.data.pack import Pack
from sonotrace_models.data.recordings import recordings
from sonotrace_models.data.sampling import Sampler
from sonotrace_models.nets.tracker import IDS, OBJECTS


@dataclass(frozen=True)
class Shares:
    """Probability of each kind of sequence; the rest are deformed still images."""

    loops: float = 0.45
    """Loops made from pairs of frames; without any, annotated recordings."""
    runs: float = 0.08
    """Annotated recordings."""
    hard: float = 0.0
    """Hard loops of all sets (`data.hard`)."""


class Sequences(NamedTuple):
    """A batch of sequences."""

    grey: Tensor
    """[batch, frame, 256, 256] in [0, 1]"""
    ids: Tensor
    """[batch, frame, 256, 256]: random object numbers from 1"""
    origins: Tensor
    """[batch, frame, 64, 64, 2]: the source position of each cell of stride 4 in its image, x and y in [-1, 1]; outside that
    range if there is none"""
    scenes: Tensor
    """[batch, frame]: frames of a sequence with the same number show the same image, moved"""
    visibility: Tensor
    """[batch, frame, 11]: share of each id's area that can be seen"""


class Clip(NamedTuple):
    """A sequence before its random view is applied."""

    grey: Tensor
    """[frame, 1, 256, 256]: the images before motion"""
    ids: Tensor
    """[frame, 1, 256, 256]: their ids"""
    motion: Tensor
    """[frame, 256, 256, 2]: the sampling field of each frame"""
    scenes: Tensor
    """[frame]: as in `Sequences`"""


class SequenceSource:
    """Makes sequences from the train split."""

    def __init__(
        self,
        pack: Pack,
        loops: Loops | None,
        generator: Generator,
        numbers: np.random.Generator,
        shares: Shares,
        sets: list[str] | None = None,
    ) -> None:
        self.pack, self.loops, self.shares = pack, loops, shares
        self.generator, self.numbers = generator, numbers
        self.sampler = Sampler(pack, numbers, sets)
        self.runs = runs(pack, "train")
        self.pairs = loops.pairs if loops is not None else []
        self.device = generator.device
        """Device on which sequences are made."""
        self.hard = HardLoops(pack, loops) if shares.hard > 0 else None
        self.appearance = Appearance().to(self.device)

    def draw(self, batch: int, frames: int) -> Sequences:
        """A batch of sequences with `frames` frames each."""
        made = [self._one(frames) for _ in range(batch)]
        grey, *others = (torch.stack(parts) for parts in zip(*made, strict=True))
        # Frames are passed as channels, so a sequence gets one appearance.
        return Sequences(self.appearance(grey, self.generator), *others)

    def _one(self, frames: int) -> tuple[Tensor, ...]:
        if self.hard is not None and self.numbers.random() < self.shares.hard:
            return self._hard(self.hard, frames)
        kind = self.numbers.random()
        if self.loops is not None and self.pairs and kind < self.shares.loops:
            clip = self._pair(self.loops, frames)
        elif self.runs and (kind > 1 - self.shares.runs or (not self.pairs and kind < self.shares.loops)):
            clip = self._run(frames)
        else:
            clip = self._deformed(frames)
        field = compose(clip.motion, random_view(self.generator, 1, 0.8).expand(frames, -1, -1, -1))
        grey, ids = warp(clip.grey, field), warp_ids(clip.ids, field)
        table = self._numbers_of(ids[0])
        shown = torch.ones(frames, IDS, device=self.device)
        return drift(grey, self.generator)[:, 0], table[ids[:, 0].long()], origins_of(field), clip.scenes, shown

    def _hard(self, hard: HardLoops, frames: int) -> tuple[Tensor, ...]:
        """A hard loop in a random view. It is made on the CPU."""
        index, *others = self.sampler.draw(8)
        while not hard.is_usable(index):
            (index,) = self.sampler.draw(1)
        group = self.pack.items[index].group
        other = next((at for at in others if self.pack.items[at].group != group), index)
        generator = torch.Generator().manual_seed(int(self.numbers.integers(2**31)))
        loop = hard.practise(index, other, frames, self.numbers, generator)
        view = random_view(self.generator, 1, 0.8).expand(frames, -1, -1, -1)
        grey, ids = warp(loop.grey.to(self.device), view), warp_ids(loop.ids[:, None].to(self.device), view)
        table = self._numbers_of(ids[0])
        shown = torch.ones(frames, IDS, device=self.device)
        visibility = loop.visibility.to(self.device)
        for number in range(1, visibility.shape[1] + 1):
            if table[number] > 0:
                shown[:, int(table[number])] = visibility[:, number - 1]
        origins = origins_of(compose(loop.sources.to(self.device), view))
        return grey[:, 0], table[ids[:, 0].long()], origins, loop.scenes.to(self.device), shown

    def _pair(self, loops: Loops, frames: int) -> Clip:
        """Part of a loop made from a pair, forwards or backwards, at a random pace; sometimes with the real second image."""
        at = self.pairs[int(self.numbers.integers(len(self.pairs)))]
        first, second = loops.sources[at].images
        pace = self.numbers.choice([-1, 1]) * self.numbers.uniform(0.5, 2.5)
        real = int(self.numbers.integers(frames))
        times = MIDDLE + float(pace) * (torch.arange(frames, device=self.device) - real)
        motion = loops.motion(at, times)
        is_real = torch.zeros(frames, dtype=torch.bool, device=self.device)
        shown = [first] * frames
        if self.numbers.random() < 0.7:
            shown[real] = second
            is_real[real] = True
        motion = torch.where(is_real[:, None, None, None], identity(1, self.device), motion)
        grey, ids = self.sampler.pixels(shown, self.device)
        return Clip(grey, ids, motion, is_real.long())

    def _run(self, frames: int) -> Clip:
        """Part of an annotated recording, forwards or backwards."""
        run = self.runs[int(self.numbers.integers(len(self.runs)))]
        if self.numbers.random() < 0.5:
            run = run[::-1]
        frames_there = min(frames, len(run))
        start = int(self.numbers.integers(len(run) - frames_there + 1))
        chosen = run[start : start + frames_there]
        # A recording that is too short is played back and forth.
        extended = (chosen + chosen[-2:0:-1]) * frames if len(chosen) > 1 else chosen * frames
        grey, ids = self.sampler.pixels(extended[:frames], self.device)
        return Clip(grey, ids, identity(frames, self.device), torch.arange(frames, device=self.device))

    def _deformed(self, frames: int) -> Clip:
        """A still image with periodic deformation, rotation and translation."""
        (index,) = self.sampler.draw(1)
        grey, ids = (part.expand(frames, -1, -1, -1) for part in self.sampler.pixels([index], self.device))
        moved = swaying(self.generator, frames, int(self.numbers.integers(3, 6)))
        return Clip(grey, ids, moved, torch.zeros(frames, dtype=torch.long, device=self.device))

    def _numbers_of(self, ids: Tensor) -> Tensor:
        """[256]: random numbers for a random subset of the first frame's objects, 0 for the others."""
        there = [int(id_) for id_ in ids.unique().tolist() if id_ > 0]
        self.numbers.shuffle(there)
        count = int(self.numbers.integers(1, len(there) + 1)) if there else 0
        table = torch.zeros(256)
        for id_, number in zip(there[:count], self.numbers.permutation(OBJECTS)[:count] + 1, strict=False):
            table[id_] = float(number)
        return table.to(ids.device)


def origins_of(field: Tensor) -> Tensor:
    """[frame, 256, 256, 2] to [frame, 64, 64, 2]: a field at the centres of cells of stride 4; 2 where part of a cell's
    centre comes from outside the image."""
    frames, rows, columns, _ = field.shape
    middle = field.reshape(frames, rows // 4, 4, columns // 4, 4, 2)[:, :, 1:3, :, 1:3]
    is_outside = (middle.abs() > 1).any(-1).any(4).any(2)
    return torch.where(is_outside[..., None], 2.0, middle.mean((2, 4)))


def runs(pack: Pack, split: str) -> list[list[int]]:
    """Annotated recordings of a split: image indices in order. Pairs are excluded: their two frames differ too much."""
    annotated = [
        [index for index in recording.frames if pack.items[index].object_ids] for recording in recordings(pack, split)
    ]
    return [frames for frames in annotated if len(frames) > 2]
