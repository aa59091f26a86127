"""The stage that lists hard loops and draws them, to look at before anything is trained on them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sonotrace_models.data.hard import KINDS, HardLoop, HardLoops, Recipe, recipes, write_recipes
from sonotrace_models.data.loops import Loops
from sonotrace_models.data.pack import Pack

COLOURS = ((80, 220, 80), (60, 140, 255), (230, 80, 230))
"""Of the objects' outlines: blue, green, red."""
WHITE = (255, 255, 255)
SHOWN = 10
"""Frames of a loop, evenly spread."""
CELL_PX = 192
Mask = npt.NDArray[np.bool_]


def strip(loop: HardLoop, shown: Sequence[Sequence[Mask]] | None = None) -> npt.NDArray[np.uint8]:
    """Frames of a loop side by side, with the true outlines in colours. If masks are `shown`, by frame and object, theirs are
    in colours, and the true ones in white."""
    cells = []
    for frame in np.linspace(0, len(loop.grey) - 1, SHOWN).round().astype(int):
        grey = (loop.grey[frame, 0].numpy() * 255).astype(np.uint8)
        cell = np.repeat(grey[..., None], 3, 2)
        for number, colour in enumerate(COLOURS, start=1):
            _outline(cell, (loop.ids[frame] == number).numpy(), WHITE if shown else colour)
        if shown:
            for mask, colour in zip(shown[frame], COLOURS, strict=False):
                _outline(cell, mask, colour)
        cells.append(cv2.resize(cell, (CELL_PX, CELL_PX), interpolation=cv2.INTER_AREA).astype(np.uint8))
    return np.hstack(cells)


def _outline(picture: npt.NDArray[np.uint8], mask: Mask, colour: tuple[int, int, int]) -> None:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, colour, 1)


def draw_sheets(hard: HardLoops, made: list[Recipe], out: Path) -> None:
    """Writes `hard_KIND.png`: a loop of each set, one a row."""
    for kind in tqdm(KINDS, desc="pictures of hard loops"):
        first = {recipe.set_name: recipe for recipe in reversed(made) if recipe.kind == kind}
        if first:
            rows = [strip(hard.make(first[set_name])) for set_name in sorted(first)]
            cv2.imwrite(str(out / f"hard_{kind}.png"), np.vstack(rows))


def make_hard_loops(pack: Pack, folder: Path) -> None:
    """Writes `hard_SPLIT.json` for each split beside its loops, and pictures of the val split's."""
    for split in ("train", "val", "test"):
        loops = Loops(folder, pack, split)
        made = recipes(pack, loops, split)
        write_recipes(made, folder / f"hard_{split}.json")
        print(f"{split}: {len(made)} hard loops of {len({recipe.kind for recipe in made})} kinds")
        if split == "val":
            draw_sheets(HardLoops(pack, loops), made, folder)
