"""The networks as evaluation sees them: features of images, and answers to prompts on these."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence

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
        self._recent: OrderedDict[int, tuple[Tensor, ...]] = OrderedDict()

    def features(self, images: Sequence[int]) -> tuple[Tensor | None, ...]:
        # Objects of one image follow each other: it is encoded once.
        missing = [index for index in dict.fromkeys(images) if index not in self._recent]
        if missing:
            with torch.no_grad():
                encoded = self.net.encoder(normalised(self.pack, missing))
            for at, index in enumerate(missing):
                self._recent[index] = tuple(part[at] for part in encoded)
        found = tuple(torch.stack(parts) for parts in zip(*(self._recent[index] for index in images), strict=True))
        while len(self._recent) > 64:
            self._recent.popitem(last=False)
        return found

    @torch.no_grad()
    def answer(self, features: tuple[Tensor | None, ...], prompt: Prompt) -> Answer:
        embedding, f4, f8 = features
        assert embedding is not None
        return self.net.decoder(embedding, f4, f8, prompt)


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
