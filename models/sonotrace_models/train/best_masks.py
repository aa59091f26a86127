"""Stage 1c: the teacher's best mask of every training object, for best-mask distillation (paper, 2.2.2).

The teacher is asked as a user would, with the box and with one to five clicks; the answer that overlaps most with the
truth is kept, as probabilities. So the student has one target however it is prompted.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from sonotrace_models import SIZE
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.evaluate.clicks import ask, points_of
from sonotrace_models.evaluate.protocol import box_of, dice, first_click, next_click
from sonotrace_models.evaluate.segmenters import trained_teacher
from sonotrace_models.nets.sonosam import upsample
from sonotrace_models.train.precision import reduced

CLICKS = 5
BATCH = 8


@dataclass
class BestMasksConfig:
    """Configuration."""

    pack: Path = Path("work/pack")
    embeddings: Path = Path("work/embeddings")
    teacher: Path = Path("work/runs/sonosam/best.pt")
    out: Path = Path("work/best_masks")
    compiled: bool = True
    """Compile the teacher's decoder."""


class BestMasks:
    """A folder of best masks, mapped: `masks.npy` (u8 probabilities, [object, 256, 256]) and `objects.json`.

    The teacher need not have seen all objects.
    """

    def __init__(self, folder: Path, pack: Pack) -> None:
        """Maps the arrays.

        Raises:
            DataError: the folder holds none, or none of the pack's objects.
        """
        if not (folder / "objects.json").is_file():
            raise DataError(f"{folder} holds no masks: run `python -m sonotrace_models best-masks` first")
        places = {tuple(key): at for at, key in enumerate(json.loads((folder / "objects.json").read_text()))}
        found = {pair: places.get(_key(pack, *pair)) for pair in pack.objects("train")}
        self.at = {pair: at for pair, at in found.items() if at is not None}
        if not self.at:
            raise DataError(f"{folder} holds masks of none of the pack's train objects")
        self.values: npt.NDArray[np.uint8] = np.load(folder / "masks.npy", mmap_mode="r")

    def get(self, images: Sequence[int], objects: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """[images, objects each, 256, 256] probabilities, and [images, objects each]: 1 where there is a mask."""
        places = [[self.at.get((index, id_)) for id_ in ids] for index, ids in zip(images, objects, strict=True)]
        none = np.zeros((SIZE, SIZE), np.uint8)
        values = np.stack(
            [np.stack([none if place is None else self.values[place] for place in row]) for row in places]
        )
        is_there = [[float(place is not None) for place in row] for row in places]
        return torch.from_numpy(values).float() / 255, torch.tensor(is_there)


def _key(pack: Pack, index: int, id_: int) -> tuple[str, str, int]:
    """What names an object in any pack."""
    return pack.items[index].set_name, pack.items[index].name, id_


def make_best_masks(config: BestMasksConfig) -> None:
    """Runs the stage."""
    pack = Pack(config.pack)
    teacher = trained_teacher(config.teacher, config.embeddings, pack)
    objects = [pair for pair in pack.objects("train") if teacher.knows(pair[0])]
    if not objects:
        raise DataError(
            f"{config.embeddings} holds no image of the train split: run `python -m sonotrace_models embed`"
        )
    if config.compiled:
        teacher.compile()
    config.out.mkdir(parents=True, exist_ok=True)
    values = np.lib.format.open_memmap(config.out / "masks.npy", "w+", np.uint8, (len(objects), SIZE, SIZE))
    best = np.full(len(objects), -1.0)
    with reduced(teacher.device):
        for start in tqdm(range(0, len(objects), BATCH), desc="best masks", mininterval=5):
            chunk = objects[start : start + BATCH]
            images = [index for index, _ in chunk]
            truths = [np.asarray(pack.masks[index] == id_) for index, id_ in chunk]

            def keep(
                logits: Tensor, start: int = start, truths: list[npt.NDArray[np.bool_]] = truths
            ) -> list[npt.NDArray[np.bool_]]:
                probability = upsample(logits.float(), SIZE)[:, 0].sigmoid().numpy()
                for at, truth in enumerate(truths):
                    overlap = dice(probability[at] > 0.5, truth)
                    if overlap > best[start + at]:
                        best[start + at] = overlap
                        values[start + at] = np.rint(probability[at] * 255)
                return [map_ > 0.5 for map_ in probability]

            keep(ask(teacher, images, [points_of([], box_of(truth)) for truth in truths], None))
            clicks = [[first_click(truth)] for truth in truths]
            logits = None
            for _ in range(CLICKS):
                logits = ask(teacher, images, [points_of(made) for made in clicks], logits)
                for truth, predicted, made in zip(truths, keep(logits), clicks, strict=True):
                    click = next_click(truth, predicted)
                    if click is not None:
                        made.append(click)
    values.flush()
    (config.out / "objects.json").write_text(json.dumps([_key(pack, *pair) for pair in objects]))
    print(f"{len(objects)} of {len(pack.objects('train'))} objects, mean Dice of their best masks {best.mean():.4f}")
