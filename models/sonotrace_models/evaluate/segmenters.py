"""The networks as evaluation sees them: features of images, and answers to prompts on these."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sonotrace_models.data.embeddings import Embeddings
from sonotrace_models.data.pack import Pack
from sonotrace_models.nets.decoder import Answer, Prompt
from sonotrace_models.nets.sonosam import SonoSam, SonoSamLite


def normalised(pack: Pack, images: Sequence[int]) -> Tensor:
    """[batch, 1, 256, 256]: what the student takes."""
    grey = torch.from_numpy(np.stack([pack.images[index] for index in images]).astype(np.float32) / 255)
    return ((grey - pack.normalisation.mean) / pack.normalisation.std)[:, None]


class Segmenter(ABC):
    """A promptable network."""

    mask_side: int

    @abstractmethod
    def features(self, images: Sequence[int]) -> tuple[Tensor | None, ...]:
        """Features of images of the pack, each with a leading batch axis."""

    @abstractmethod
    def answer(self, features: tuple[Tensor | None, ...], prompt: Prompt) -> Answer:
        """Masks for a prompt each."""


class Student(Segmenter):
    """SonoSAMLite."""

    def __init__(self, net: SonoSamLite, pack: Pack) -> None:
        self.net, self.pack, self.mask_side = net, pack, net.decoder.mask_side
        self._recent = _Recent()

    def features(self, images: Sequence[int]) -> tuple[Tensor | None, ...]:
        return self._recent.get(images, lambda missing: tuple(self.net.encoder(normalised(self.pack, missing))))

    @torch.no_grad()
    def answer(self, features: tuple[Tensor | None, ...], prompt: Prompt) -> Answer:
        embedding, f4, f8 = features
        assert embedding is not None
        return self.net.decoder(embedding, f4, f8, prompt)


class _Recent:
    """Features of the images that were asked for last: the objects of one follow each other."""

    def __init__(self, room: int = 64) -> None:
        self._room = room
        self._kept: OrderedDict[int, tuple[Tensor, ...]] = OrderedDict()

    def get(self, images: Sequence[int], encode: Callable[[list[int]], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Features of `images`; `encode` makes those that are missing."""
        missing = [index for index in dict.fromkeys(images) if index not in self._kept]
        if missing:
            with torch.no_grad():
                encoded = encode(missing)
            for at, index in enumerate(missing):
                self._kept[index] = tuple(part[at] for part in encoded)
        found = tuple(torch.stack(parts) for parts in zip(*(self._kept[index] for index in images), strict=True))
        while len(self._kept) > self._room:
            self._kept.popitem(last=False)
        return found


class OnlineTeacher(Segmenter):
    """SonoSAM with an encoder of its own."""

    def __init__(self, net: SonoSam, pack: Pack) -> None:
        self.net, self.pack, self.mask_side = net, pack, net.decoder.mask_side
        self._recent = _Recent()

    def features(self, images: Sequence[int]) -> tuple[Tensor | None, ...]:
        return self._recent.get(images, self._encode)

    def _encode(self, images: list[int]) -> tuple[Tensor, ...]:
        grey = torch.from_numpy(np.stack([self.pack.images[index] for index in images]).astype(np.float32) / 255)
        items = [self.pack.items[index] for index in images]
        extents = torch.tensor([[item.columns, item.rows] for item in items])
        # A few at a time: an image takes a gigabyte.
        pairs = zip(grey[:, None].split(4), extents.split(4), strict=True)
        return (torch.cat([self.net.embed(*pair).float() for pair in pairs]),)

    @torch.no_grad()
    def answer(self, features: tuple[Tensor | None, ...], prompt: Prompt) -> Answer:
        (embedding,) = features
        assert embedding is not None
        return self.net(embedding, prompt)


class Teacher(Segmenter):
    """SonoSAM, or LiteMedSAM as published, on embeddings that were computed before."""

    def __init__(self, net: SonoSam, embeddings: Embeddings) -> None:
        self.net, self.embeddings, self.mask_side = net, embeddings, net.decoder.mask_side

    def features(self, images: Sequence[int]) -> tuple[Tensor | None, ...]:
        return (self.embeddings.get([(index, False) for index in images]),)

    @torch.no_grad()
    def answer(self, features: tuple[Tensor | None, ...], prompt: Prompt) -> Answer:
        (embedding,) = features
        assert embedding is not None
        return self.net(embedding, prompt)


def trained_teacher(weights: Path, embeddings: Path, pack: Pack) -> Segmenter:
    """SonoSAM with trained weights: on the embeddings in a folder where its encoder is the public one."""
    net = SonoSam()
    net.load(weights)
    net.eval()
    return Teacher(net, Embeddings(embeddings, pack)) if net.has_public_encoder else OnlineTeacher(net, pack)
