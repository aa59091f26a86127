"""Stage 1d: the teacher's best mask of every training object, for best-mask distillation (paper, 2.2.2).

The teacher is prompted like the simulated users in training, with a box and with one to five clicks. The mask with the
highest Dice is stored, as probabilities. So the student has the same target for every prompt.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from tqdm import tqdm

from sonotrace_models import SIZE, provenance
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack, digest
from sonotrace_models.evaluate.segmenters import Segmenter, trained_teacher
from sonotrace_models.nets.sonosam import upsample
from sonotrace_models.prompts import correct, first_points
from sonotrace_models.train.precision import reduced

CLICKS = 5


@dataclass
class BestMasksConfig:
    """Stage 1d: the teacher's best masks."""

    pack: Path = Path("work/pack")
    embeddings: Path = Path("work/embeddings")
    teacher: Path = Path("work/runs/sonosam/best.pt")
    out: Path = Path("work/best_masks")
    sets: list[str] | None = None
    """Sets whose objects are processed; all by default."""
    batch: int = 8
    """Objects per batch."""
    compiled: bool = True
    """Compile the teacher's decoder."""
    seed: int = 0


class BestMasks:
    """A memory-mapped folder of best masks: `masks.npy` (u8 probabilities, [object, 256, 256]) and `objects.json`.

    Objects without a teacher's mask are allowed.
    """

    def __init__(self, folder: Path, pack: Pack) -> None:
        """Maps the arrays.

        Raises:
            DataError: the folder holds none, or none of the pack's objects.
        """
        if not (folder / "objects.json").is_file():
            raise DataError(f"{folder} holds no masks: run `python -m sonotrace_models best-masks` first")
        keys = json.loads((folder / "objects.json").read_text())
        if not all(isinstance(key, str) for key in keys):
            raise DataError(
                f"{folder} was written by an earlier version, by names: run `python -m sonotrace_models best-masks`"
            )
        places = {key: at for at, key in enumerate(keys)}
        found = {pair: places.get(_key(pack, *pair)) for pair in pack.objects("train")}
        self.at = {pair: at for pair, at in found.items() if at is not None}
        if not self.at:
            raise DataError(f"{folder} holds masks of none of the pack's train objects")
        self.values: npt.NDArray[np.uint8] = np.load(folder / "masks.npy", mmap_mode="r")

    def get(
        self, images: Sequence[int], objects: Sequence[Sequence[int]], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """[images, objects each, 256, 256] probabilities, and [images, objects each]: 1 where there is a mask."""
        places = [[self.at.get((index, id_)) for id_ in ids] for index, ids in zip(images, objects, strict=True)]
        none = np.zeros((SIZE, SIZE), np.uint8)
        values = np.stack(
            [np.stack([none if place is None else self.values[place] for place in row]) for row in places]
        )
        is_there = [[float(place is not None) for place in row] for row in places]
        return torch.from_numpy(values).to(device).float() / 255, torch.tensor(is_there, device=device)


def _key(pack: Pack, index: int, id_: int) -> str:
    """The key of an object, the same in every pack: of the content of its image and of its mask."""
    return digest(pack.images[index], pack.masks[index] == id_)


def make_best_masks(config: BestMasksConfig) -> None:
    """Runs the stage."""
    pack = Pack(config.pack)
    pack.require(config.sets)
    teacher = trained_teacher(config.teacher, config.embeddings, pack)
    objects = [pair for pair in pack.objects("train", config.sets) if teacher.knows(pair[0])]
    if not objects:
        raise DataError(
            f"{config.embeddings} holds no image of the train split: run `python -m sonotrace_models embed`"
        )
    if config.compiled:
        teacher.compile()
    config.out.mkdir(parents=True, exist_ok=True)
    values = np.lib.format.open_memmap(config.out / "masks.npy", "w+", np.uint8, (len(objects), SIZE, SIZE))
    generator = Generator(teacher.device).manual_seed(config.seed)
    overlaps = []
    with reduced(teacher.device):
        for start in tqdm(range(0, len(objects), config.batch), desc="best masks", mininterval=5):
            chunk = objects[start : start + config.batch]
            images = [index for index, _ in chunk]
            truth = torch.from_numpy(np.stack([pack.masks[index] == id_ for index, id_ in chunk])).to(teacher.device)
            probability, overlap = best_masks(teacher, images, truth, generator)
            values[start : start + len(chunk)] = (probability * 255).round().byte().cpu().numpy()
            overlaps += overlap.tolist()
    values.flush()
    (config.out / "objects.json").write_text(json.dumps([_key(pack, *pair) for pair in objects]))
    provenance.write(config.out, provenance.of_stage(config))
    count = len(pack.objects("train", config.sets))
    print(f"{len(objects)} of {count} objects, mean Dice of their best masks {np.mean(overlaps):.4f}")


@torch.no_grad()
def best_masks(teacher: Segmenter, images: Sequence[int], truth: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """The best of the masks for a box and for one to `CLICKS` clicks.

    Args:
        truth: [rows, 256, 256] bool, on the teacher's device: an object of each of `images`.

    Returns:
        Probabilities [rows, 256, 256], and their Dice [rows].
    """
    features, side = teacher.features(images), teacher.mask_side
    solid = F.avg_pool2d(truth[:, None].float(), SIZE // side)[:, 0] >= 0.5
    best = torch.zeros(truth.shape, device=truth.device)
    best_overlap = torch.full((len(truth),), -1.0, device=truth.device)
    for box_share, clicks in ((1.0, 1), (0.0, CLICKS)):
        points = first_points(truth, generator, box_share)
        logits, has_mask = torch.zeros(len(truth), 1, side, side, device=truth.device), torch.zeros_like(best_overlap)
        for click in range(clicks):
            if click > 0:
                points = correct(points, logits[:, 0] > 0, solid, generator)
            logits = teacher.decode(features, points.prompt(logits, has_mask)).mask.float()
            has_mask = torch.ones_like(has_mask)
            probability = upsample(logits, SIZE)[:, 0].sigmoid()
            found = probability > 0.5
            overlap = 2 * (found & truth).sum((1, 2)) / (found.sum((1, 2)) + truth.sum((1, 2))).clamp(min=1)
            is_better = overlap > best_overlap
            best = torch.where(is_better[:, None, None], probability, best)
            best_overlap = torch.where(is_better, overlap, best_overlap)
    return best, best_overlap
