"""The networks' interface for evaluation: features of images, and masks for prompts on these."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sonotrace_models.data.embeddings import Embeddings
from sonotrace_models.data.pack import Pack
from sonotrace_models.nets.decoder import BOX_FROM, PAD, Answer, Prompt
from sonotrace_models.nets.sonosam import SonoSam, SonoSamLite


def fastest_device() -> torch.device:
    """A GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def grey_levels(pack: Pack, images: Sequence[int]) -> Tensor:
    """[batch, 1, 256, 256] in [0, 1]."""
    return torch.from_numpy(np.stack([pack.images[index] for index in images]).astype(np.float32) / 255)[:, None]


class Segmenter(ABC):
    """A promptable network. It computes on the device of its weights; `answer` returns masks on the CPU."""

    mask_side: int

    def __init__(self, net: SonoSam | SonoSamLite) -> None:
        self._decoder = net.decoder
        self.mask_side = net.decoder.mask_side
        self.device = net.decoder.iou_token.device

    def knows(self, image: int) -> bool:
        """Whether features of this image of the pack are available."""
        return True

    @abstractmethod
    def features(self, images: Sequence[int]) -> tuple[Tensor, ...]:
        """Features of images of the pack, each with a leading batch axis."""

    @abstractmethod
    def decode(self, features: tuple[Tensor, ...], prompt: Prompt) -> Answer:
        """One mask per prompt, all on the network's device."""

    def compile(self) -> None:
        """Compiles the decoder. It takes half a minute; decoding on a CPU then takes two thirds of the time."""
        self._decoder.compile()

    @torch.no_grad()
    def answer(self, features: tuple[Tensor, ...], prompt: Prompt) -> Answer:
        """One mask per prompt, on the CPU."""
        answer = self.decode(features, Prompt(*(part.to(self.device) for part in prompt)))
        return Answer(*(part.float().cpu() for part in answer))


class _Recent:
    """A cache of the last images' features: objects of the same image are evaluated in sequence."""

    def __init__(self, room: int = 64) -> None:
        self._room = room
        self._kept: OrderedDict[int, tuple[Tensor, ...]] = OrderedDict()

    def get(self, images: Sequence[int], encode: Callable[[list[int]], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Features of `images`; `encode` computes the missing ones."""
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


class Encoding(Segmenter):
    """A network that encodes images on demand."""

    def __init__(self, net: SonoSam | SonoSamLite, pack: Pack) -> None:
        super().__init__(net)
        self.pack = pack
        self._recent = _Recent()

    @abstractmethod
    def encode(self, images: list[int]) -> tuple[Tensor, ...]:
        """Features of images, on the network's device."""

    def features(self, images: Sequence[int]) -> tuple[Tensor, ...]:
        return self._recent.get(images, self.encode)


class Student(Encoding):
    """SonoSAMLite."""

    def __init__(self, net: SonoSamLite, pack: Pack) -> None:
        super().__init__(net, pack)
        self.net = net

    def encode(self, images: list[int]) -> tuple[Tensor, ...]:
        encoder = self.net.encoder
        return tuple(encoder(encoder.normalise(grey_levels(self.pack, images).to(self.device))))

    def decode(self, features: tuple[Tensor, ...], prompt: Prompt) -> Answer:
        embedding, f4, f8 = features
        return self.net.decoder(embedding, f4, f8, prompt)


class Teacher(Segmenter):
    """SonoSAM, or LiteMedSAM as published, on precomputed embeddings."""

    def __init__(self, net: SonoSam, embeddings: Embeddings) -> None:
        super().__init__(net)
        self.net, self.embeddings = net, embeddings

    def knows(self, image: int) -> bool:
        return (image, False) in self.embeddings.at

    def features(self, images: Sequence[int]) -> tuple[Tensor, ...]:
        return (self.embeddings.get([(index, False) for index in images]).to(self.device).float(),)

    def decode(self, features: tuple[Tensor, ...], prompt: Prompt) -> Answer:
        return self.net(features[0], prompt)


class LiteMedSam(Teacher):
    """LiteMedSAM as published, prompted as in its training: with the prompt's own tokens only (as in SAM, one padding token
    is added to clicks without a box), and without the previous mask."""

    def __init__(self, embeddings: Embeddings) -> None:
        super().__init__(SonoSam().eval().to(fastest_device()), embeddings)

    def decode(self, features: tuple[Tensor, ...], prompt: Prompt) -> Answer:
        rows = [self._decode_one(*row) for row in zip(features[0], prompt.coords, prompt.labels, strict=True)]
        return Answer(*(torch.cat(parts) for parts in zip(*rows, strict=True)))

    def _decode_one(self, embedding: Tensor, coords: Tensor, labels: Tensor) -> Answer:
        is_used = labels != PAD
        if not (labels == BOX_FROM).any():
            is_used[is_used.int().argmin()] = True
        side = self.mask_side
        tokens = Prompt(
            coords[is_used][None],
            labels[is_used][None],
            coords.new_zeros(1, 1, side, side),
            coords.new_zeros(1),
        )
        return self.net(embedding[None], tokens)


class OnlineTeacher(Encoding):
    """SonoSAM with a trained encoder."""

    def __init__(self, net: SonoSam, pack: Pack) -> None:
        super().__init__(net, pack)
        self.net = net

    def encode(self, images: list[int]) -> tuple[Tensor, ...]:
        grey = grey_levels(self.pack, images)
        items = [self.pack.items[index] for index in images]
        extents = torch.tensor([[item.columns, item.rows] for item in items])
        # In small batches: an image takes a gigabyte on a CPU.
        count = 4 if self.device.type == "cpu" else 16
        pairs = zip(grey.split(count), extents.split(count), strict=True)
        return (torch.cat([self.net.embed(*(part.to(self.device) for part in pair)).float() for pair in pairs]),)

    def decode(self, features: tuple[Tensor, ...], prompt: Prompt) -> Answer:
        return self.net(features[0], prompt)


def trained_teacher(weights: Path, embeddings: Path, pack: Pack) -> Segmenter:
    """SonoSAM with trained weights. It uses a folder's embeddings if its encoder is the public one."""
    net = SonoSam()
    net.load(weights)
    # Convolutions on a CPU are faster in this layout.
    net.eval().to(memory_format=torch.channels_last).to(fastest_device())
    return Teacher(net, Embeddings(embeddings, pack)) if net.has_public_encoder else OnlineTeacher(net, pack)
