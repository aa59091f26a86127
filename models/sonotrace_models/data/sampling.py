"""Selects the images of a training step."""

import math
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from sonotrace_models.data.manifest import DataError, refuse_unknown
from sonotrace_models.data.pack import Pack

SET_EXPONENT = 0.5
"""A set's probability is proportional to its size to this power, which favours small sets."""


def truths(ids: Tensor, objects: list[list[int]]) -> Tensor:
    """Masks of each image's objects, [batch * objects, 256, 256] bool, image by image, from ids [batch, 1, 256, 256]."""
    wanted = torch.tensor(objects, device=ids.device, dtype=ids.dtype)
    return (ids == wanted[:, :, None, None]).flatten(0, 1)


def refuse_emphasis(emphasis: Mapping[str, float], sets: Iterable[str]) -> None:
    """Refuses factors of sets that are not drawn from, and factors that are no numbers from 0 on.

    Raises:
        DataError: with the name.
    """
    refuse_unknown("set to learn from", emphasis, sets)
    for name, factor in emphasis.items():
        if not (math.isfinite(factor) and factor >= 0):
            raise DataError(f"--emphasis {name} is {factor}, it must be a number from 0 on")


class Sampler:
    """Draws train images: first a set, then an image of it. An image repeats only after all of its set were drawn."""

    def __init__(
        self,
        pack: Pack,
        numbers: np.random.Generator,
        sets: list[str] | None = None,
        emphasis: Mapping[str, float] | None = None,
        only: Container[int] | None = None,
    ) -> None:
        """Draws from all sets or some. `emphasis` multiplies a set's probability; `only` restricts the images.

        Raises:
            DataError: a set does not exist, a factor is no number from 0 on, or no image is left.
        """
        refuse_emphasis(emphasis or {}, sets or pack.set_names)
        self.pack, self.numbers = pack, numbers
        by_set: dict[str, list[int]] = defaultdict(list)
        for index in pack.select("train", sets):
            if only is None or index in only:
                by_set[pack.items[index].set_name].append(index)
        if not by_set:
            raise DataError(f"no image of the train split to draw, of {', '.join(sets or pack.set_names)}")
        self.by_set = dict(by_set)
        self.names = sorted(self.by_set)
        sizes = np.array([len(self.by_set[name]) for name in self.names], float) ** SET_EXPONENT
        sizes *= [(emphasis or {}).get(name, 1.0) for name in self.names]
        if sizes.sum() == 0:
            raise DataError(f"--emphasis is 0 for all of {', '.join(self.names)}: no image is left to draw")
        self.shares = sizes / sizes.sum()
        self.left: dict[str, list[int]] = {name: [] for name in self.names}

    def draw(self, count: int) -> list[int]:
        """`count` image indices."""
        drawn = []
        for name in self.numbers.choice(self.names, count, p=self.shares):
            if not self.left[name]:
                self.left[name] = [int(index) for index in self.numbers.permutation(self.by_set[name])]
            drawn.append(self.left[name].pop())
        return drawn

    def objects(self, images: list[int], per_image: int) -> list[list[int]]:
        """`per_image` object ids of each image, repeated if it has fewer."""
        chosen = []
        for index in images:
            ids = self.numbers.permutation(self.pack.items[index].object_ids)
            chosen.append([int(ids[at % len(ids)]) for at in range(per_image)])
        return chosen

    def pixels(self, images: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Grey levels 0 to 1 and object ids, [count, 1, 256, 256] floats on a device."""
        grey, ids = (
            torch.from_numpy(np.stack([array[index] for index in images])).to(device)[:, None].float()
            for array in (self.pack.images, self.pack.masks)
        )
        return grey / 255, ids
