"""Hard loops (`data.hard`) without corrections: what the tracker loses, whether it finds it again, and what confidence says.

On the first frame the user clicks until the contour is good; after it nobody corrects. An object that has left the field of
view has no Dice; one that a shadow hides has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from sonotrace_models.data.hard import HardLoop, Recipe
from sonotrace_models.evaluate.intervals import interval
from sonotrace_models.evaluate.loops import FIRST_CLICKS_MAX, GatedFollower, click_until_good, encoded, on_grid
from sonotrace_models.evaluate.protocol import Mask, dice
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.train.confidence import VISIBLE_PX

RECOVERED_DICE = 0.85
"""An object has been found again if its last mask has at least this Dice."""


@dataclass
class HardResult:
    """One object through one hard loop; frames from the second one."""

    kind: str
    set_name: str
    patient: str
    """Set and patient."""
    object: int
    dice: list[float] = field(default_factory=list)
    """NaN where the object is not in the frame"""
    visibility: list[float] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    absent: list[float] = field(default_factory=list)
    """Probability that the object is absent, as it is told"""


@torch.no_grad()
def play_hard(
    net: SonoSamLite, follower: GatedFollower, loop: HardLoop, recipe: Recipe, patient: str
) -> tuple[list[HardResult], list[list[Mask]]]:
    """Follows a loop's objects. Returns their results, and their masks on the input grid, frame by frame."""
    numbers = range(1, loop.visibility.shape[1] + 1)
    frames = encoded(net, loop.grey.to(net.encoder.device))
    truths = [[(of_frame == number).numpy() for number in numbers] for of_frame in loop.ids]
    first = [click_until_good(net, frames[0].features, truth, None, FIRST_CLICKS_MAX)[0] for truth in truths[0]]
    follower.start(frames[0], first)
    shown = [[on_grid(logits) for logits in first]]
    results = [HardResult(recipe.kind, recipe.set_name, patient, number) for number in numbers]
    for frame, seen in enumerate(frames[1:], start=1):
        masks = [on_grid(logits) for logits in follower.advance(seen)]
        for at, result in enumerate(results):
            truth, mask = truths[frame][at], masks[at]
            result.dice.append(dice(mask, truth) if truth.sum() >= VISIBLE_PX else float("nan"))
            result.visibility.append(float(loop.visibility[frame, at]))
            result.confidence.append(float(follower.followed.confidence[0, at + 1]))
            result.absent.append(float(follower.followed.absent[0, at + 1]))
        shown.append(masks)
    return results, shown


Figure = Callable[[Sequence[HardResult]], float]


def _dice_of(results: Sequence[HardResult]) -> npt.NDArray[np.float64]:
    values = np.concatenate([np.array(result.dice) for result in results])
    return values[~np.isnan(values)]


def _last(results: Sequence[HardResult]) -> npt.NDArray[np.float64]:
    values = np.array([result.dice[-1] for result in results])
    return values[~np.isnan(values)]


FIGURES: dict[str, Figure] = {
    "mean": lambda results: float(_dice_of(results).mean()),
    "below_half": lambda results: float((_dice_of(results) < 0.5).mean()),
    "last": lambda results: float(_last(results).mean()),
    "recovered": lambda results: float((_last(results) >= RECOVERED_DICE).mean()),
}
"""Columns of the table: mean Dice, share of masks below 0.5, Dice of the last frame, share of objects found again."""


def hard_table(results: Sequence[HardResult]) -> dict[str, dict[str, float]]:
    """By kind: the number of objects, each figure, and `FIGURE_low` and `FIGURE_high`, its interval."""
    table: dict[str, dict[str, float]] = {}
    for kind in dict.fromkeys(result.kind for result in results):
        of_kind = [result for result in results if result.kind == kind]
        row = {"objects": float(len(of_kind))}
        for name, figure in FIGURES.items():
            row[name] = figure(of_kind)
            row[f"{name}_low"], row[f"{name}_high"] = interval(figure, of_kind)
        table[kind] = row
    return table


def as_text(table: dict[str, dict[str, float]]) -> str:
    """The table, one line per kind."""
    lines = [f"{'kind':14} {'objects':>7} " + " ".join(f"{name:>20}" for name in FIGURES)]
    for kind, row in table.items():
        cells = [f"{row[name]:.3f} ({row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f})" for name in FIGURES]
        lines.append(f"{kind:14} {row['objects']:7.0f} " + " ".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)
