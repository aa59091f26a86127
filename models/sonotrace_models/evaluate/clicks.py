"""Dice by number of clicks, and with a box: the paper's figure 7."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from sonotrace_models import SIZE
from sonotrace_models.data.pack import Pack
from sonotrace_models.evaluate.protocol import Click, Mask, box_of, dice, first_click, next_click
from sonotrace_models.evaluate.segmenters import Segmenter
from sonotrace_models.nets.decoder import BOX_FROM, BOX_TO, PAD, POINT_SLOTS, Prompt
from sonotrace_models.nets.sonosam import upsample

CLICKS_MAX = 10
REPORTED_CLICKS = (1, 2, 3, 5, 10)
LOSS_OF_NOTE = 0.02
"""A click that loses more Dice than this counts as unexpected."""


@dataclass
class ClickResults:
    """Per object: what it is, and its Dice."""

    objects: list[tuple[int, int]]
    """Image index and object id."""
    set_names: list[str]
    by_click: npt.NDArray[np.float64]
    """[object, click]: Dice after 1, 2, ... clicks"""
    with_box: npt.NDArray[np.float64] | None
    """[object]: Dice with the true box"""
    masks: dict[int, npt.NDArray[np.bool_]] = field(default_factory=dict)
    """By number of clicks (0: the box): [object, 256, 256], if requested."""

    def table(self) -> dict[str, dict[str, float]]:
        """Per set, and `mean` over the sets: Dice at the reported clicks, `box`; `unexpected`, the share of clicks after the
        first that lose more than `LOSS_OF_NOTE`, and `affected`, the share of objects with such a click. In `mean`, the last
        two are over all objects, and `objects` is their number."""
        rows: dict[str, dict[str, float]] = {}
        names = np.array(self.set_names)
        for name in sorted(set(self.set_names)):
            at = names == name
            row = {"objects": float(at.sum())}
            for clicks in REPORTED_CLICKS:
                if clicks <= self.by_click.shape[1]:
                    row[str(clicks)] = float(self.by_click[at, clicks - 1].mean())
            if self.with_box is not None:
                row["box"] = float(self.with_box[at].mean())
            row["unexpected"] = float(self.loses_unexpectedly()[at].mean())
            row["affected"] = float(self.loses_unexpectedly()[at].any(1).mean())
            rows[name] = row
        keys = [key for key in next(iter(rows.values())) if key != "objects"]
        rows["mean"] = {key: float(np.mean([row[key] for row in rows.values()])) for key in keys}
        rows["mean"]["objects"] = float(len(self.objects))
        rows["mean"]["unexpected"] = float(self.loses_unexpectedly().mean())
        rows["mean"]["affected"] = float(self.loses_unexpectedly().any(1).mean())
        return rows

    def loses_unexpectedly(self) -> npt.NDArray[np.bool_]:
        """[object, click after the first]: whether it loses more than `LOSS_OF_NOTE`."""
        if self.by_click.shape[1] < 2:
            return np.zeros((len(self.objects), 1), bool)
        return np.diff(self.by_click, axis=1) < -LOSS_OF_NOTE

    def gain_over(self, other: "ClickResults") -> dict[str, tuple[float, float]]:
        """Gain over another network on the same objects, in the mean of sets: by number of clicks, and `box`.

        Returns:
            The difference of Dice, and 1.96 of its standard errors (paired by object, each set by itself): how much another
            sample of objects could change it. Another training run may change it more. NaN if a set has one object.

        Raises:
            ValueError: the objects differ.
        """
        if self.objects != other.objects:
            raise ValueError(f"the results have different objects ({len(self.objects)} and {len(other.objects)})")
        names = np.array(self.set_names)
        sets = [names == name for name in sorted(set(self.set_names))]
        gained = self.by_click - other.by_click
        gains = {str(count): gained[:, count - 1] for count in REPORTED_CLICKS if count <= gained.shape[1]}
        if self.with_box is not None and other.with_box is not None:
            gains["box"] = self.with_box - other.with_box
        found = {}
        for key, gain in gains.items():
            mean = np.mean([gain[at].mean() for at in sets])
            variances = [gain[at].var(ddof=1) / at.sum() if at.sum() > 1 else np.nan for at in sets]
            found[key] = (float(mean), float(1.96 * np.sqrt(np.sum(variances)) / len(sets)))
        return found


def points_of(
    clicks: Sequence[Click], box: tuple[float, float, float, float] | None = None
) -> tuple[list[list[float]], list[float]]:
    """Coordinates and labels of all slots; if there are too many clicks, the newest ones."""
    points = [] if box is None else [(box[0], box[1], BOX_FROM), (box[2], box[3], BOX_TO)]
    # As in a session: two slots are reserved for a box.
    points += clicks[-(POINT_SLOTS - 2) :]
    points += [(0.0, 0.0, PAD)] * (POINT_SLOTS - len(points))
    return [[x, y] for x, y, _ in points], [float(label) for _, _, label in points]


def ask(
    segmenter: Segmenter,
    images: Sequence[int],
    pointed: Sequence[tuple[list[list[float]], list[float]]],
    logits: torch.Tensor | None,
) -> torch.Tensor:
    """[batch, 1, side, side]: logits for points and the previous logits."""
    side = segmenter.mask_side
    mask = torch.zeros(len(images), 1, side, side) if logits is None else logits
    prompt = Prompt(
        torch.tensor([coords for coords, _ in pointed]),
        torch.tensor([labels for _, labels in pointed]),
        mask,
        torch.full((len(images),), 0.0 if logits is None else 1.0),
    )
    return segmenter.answer(segmenter.features(images), prompt).mask


def evaluate_clicks(
    segmenter: Segmenter,
    pack: Pack,
    objects: Sequence[tuple[int, int]],
    *,
    clicks_max: int = CLICKS_MAX,
    with_box: bool = True,
    keep_masks_at: Sequence[int] = (),
    batch: int = 32,
    is_quiet: bool = False,
) -> ClickResults:
    """Runs the protocol on objects (image index and id)."""
    results = ClickResults(
        objects=list(objects),
        set_names=[pack.items[index].set_name for index, _ in objects],
        by_click=np.zeros((len(objects), clicks_max)),
        with_box=np.zeros(len(objects)) if with_box else None,
        masks={clicks: np.zeros((len(objects), SIZE, SIZE), bool) for clicks in keep_masks_at},
    )
    starts = range(0, len(objects), batch)
    for start in tqdm(starts, desc="clicks", disable=is_quiet, mininterval=5):
        chunk = objects[start : start + batch]
        images = [index for index, _ in chunk]
        truths = [np.asarray(pack.masks[index] == id_) for index, id_ in chunk]
        rows = range(start, start + len(chunk))
        if results.with_box is not None:
            answers = _masks(
                ask(segmenter, images, [points_of([], box_of(truth)) for truth in truths], None), pack, images
            )
            for row, answer, truth in zip(rows, answers, truths, strict=True):
                results.with_box[row] = dice(answer, truth)
                if 0 in results.masks:
                    results.masks[0][row] = answer
        clicks = [[first_click(truth)] for truth in truths]
        logits = None
        for count in range(1, clicks_max + 1):
            logits = ask(segmenter, images, [points_of(made) for made in clicks], logits)
            answers = _masks(logits, pack, images)
            for row, answer, truth, made in zip(rows, answers, truths, clicks, strict=True):
                results.by_click[row, count - 1] = dice(answer, truth)
                if count in results.masks:
                    results.masks[count][row] = answer
                click = next_click(truth, answer)
                if click is not None:
                    made.append(click)
    return results


def _masks(logits: torch.Tensor, pack: Pack, images: Sequence[int]) -> list[Mask]:
    """Masks on the input grid, within the valid area."""
    found = (upsample(logits, SIZE)[:, 0] > 0).numpy()
    for mask, index in zip(found, images, strict=True):
        mask[pack.items[index].rows :] = False
        mask[:, pack.items[index].columns :] = False
    return list(found)
