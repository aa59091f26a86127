"""The evaluated loops as pictures, for `sonotrace eval cine`: it plays them with the compiled model.

A folder for each loop has `images/NN.png` and `masks/NN.png`, with the ids of the objects that are followed. Hard loops are
in a folder for each kind. Pictures have 8 bits, so grey levels differ from the loops' own by up to half a level.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from sonotrace_models.data.hard import HardLoops
from sonotrace_models.data.loops import Loops
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.evaluate.hard_report import hard_recipes
from sonotrace_models.evaluate.loops import TEST_SEED


@dataclass
class LoopPicturesConfig:
    """Loops as pictures with masks, a folder for each, as `sonotrace eval cine` reads them."""

    pack: Path = Path("work/pack")
    loops: Path = Path("work/loops")
    split: Literal["train", "val", "test"] = "val"
    hard: bool = False
    """Hard loops, in a folder for each kind, in the place of ordinary ones."""
    most: int | None = None
    """Maximum number of loops, of all sets in turn; of hard loops, of each kind."""
    out: Path = Path("work/loop-pictures")


class Shown(NamedTuple):
    """A loop to be written."""

    folder: str
    grey: Tensor
    """[frame, 1, 256, 256] in [0, 1]"""
    ids: npt.NDArray[np.uint8]
    """[frame, 256, 256]"""


def write_loop_pictures(config: LoopPicturesConfig) -> None:
    """Writes the loops of a split.

    Raises:
        DataError: there are none, or a folder of a loop exists.
    """
    pack = Pack(config.pack)
    loops = Loops(config.loops, pack, config.split)
    for loop in _hard(config, HardLoops(pack, loops)) if config.hard else _ordinary(config, loops):
        write_loop(config.out / loop.folder, loop.grey, loop.ids)


def write_loop(folder: Path, grey: Tensor, ids: npt.NDArray[np.uint8]) -> None:
    """Writes one loop: [frame, 1, rows, columns] grey levels in [0, 1], and [frame, rows, columns] ids.

    Raises:
        DataError: the folder exists: frames of another loop may be in it.
    """
    if folder.exists():
        raise DataError(f"{folder} exists: remove it, or name another folder with --out")
    pictures = (grey[:, 0] * 255).round().numpy().astype(np.uint8)
    for name, frames in (("images", pictures), ("masks", ids)):
        (folder / name).mkdir(parents=True)
        for at, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / name / f"{at:02}.png")


def _ordinary(config: LoopPicturesConfig, loops: Loops) -> Iterator[Shown]:
    loops.require("following")
    for at in tqdm(loops.some(config.most), "loops", mininterval=5):
        source = loops.sources[at]
        loop = loops.make(at, TEST_SEED + source.number)
        is_followed = np.isin(loop.ids.numpy(), list(loop.objects.values()))
        ids = np.where(is_followed, loop.ids.numpy(), 0).astype(np.uint8)
        yield Shown(_file_name(f"{source.set_name}-{source.number:03}-{source.name}"), loop.grey, ids)


def _hard(config: LoopPicturesConfig, hard: HardLoops) -> Iterator[Shown]:
    recipes = hard_recipes(config.loops, config.split)
    by_kind = {recipe.kind: [other for other in recipes if other.kind == recipe.kind] for recipe in recipes}
    chosen = [(number, recipe) for of in by_kind.values() for number, recipe in enumerate(of[: config.most])]
    if not chosen:
        raise DataError(f"{config.loops} has no hard loops of the {config.split} split")
    for number, recipe in tqdm(chosen, "hard loops", mininterval=5):
        loop = hard.make(recipe)
        name = _file_name(f"{number:03}-{recipe.set_name}-{recipe.name}")
        yield Shown(f"{recipe.kind}/{name}", loop.grey, loop.ids.numpy().astype(np.uint8))


def _file_name(name: str) -> str:
    """A name without characters that a file system may refuse."""
    return re.sub(r"[^\w.-]+", "_", name)
