"""Synthetic hearts and tubes, and data folders of them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from sonotrace_models.data.follow import BUILT_IN, CAMUS

LV, MUSCLE, LA = 1, 2, 3
FOLLOW = BUILT_IN[CAMUS]


def heart(width: int, height: int) -> np.ndarray:
    """A ventricle above an atrium, with a muscle around the ventricle."""
    mask = np.zeros((256, 256), np.uint8)
    cv2.ellipse(mask, (128, 140), (width + 12, height + 12), 0, 180, 360, MUSCLE, -1)
    cv2.ellipse(mask, (128, 140), (width, height), 0, 180, 360, LV, -1)
    cv2.ellipse(mask, (128, 141), (width, 50), 0, 0, 180, LA, -1)
    return mask


def tube(x: int, width: int, height: int, angle_deg: float = 0) -> np.ndarray:
    """An ellipse with id 7 and a notch, so that its direction shows, and a disc with id 200."""
    mask = np.zeros((256, 256), np.uint8)
    cv2.ellipse(mask, (x, 110), (width, height), angle_deg, 0, 360, 7, -1)
    cv2.circle(mask, (x + width // 2, 110 - height), height // 2, 0, -1)
    cv2.circle(mask, (128, 210), 20, 200, -1)
    return mask


Frames = Sequence[np.ndarray | None]


def write(folder: Path, recordings: dict[tuple[str, str, str, str], Frames], loops: object = None) -> Path:
    """Writes a data folder.

    Args:
        recordings: masks by set, split, patient and sequence; None for an image without a mask.
        loops: what `loops.json` holds.
    """
    numbers = np.random.default_rng(0)
    rows = []
    for (set_name, split, group, sequence), masks in recordings.items():
        for kind in ("images", "masks"):
            (folder / set_name / kind).mkdir(parents=True, exist_ok=True)
        for frame, mask in enumerate(masks):
            name = f"{group}_{sequence}_{frame}"
            shown = np.zeros((256, 256), np.uint8) if mask is None else mask
            grey = np.take(numbers.permutation(np.arange(20, 180, 40)), shown % 4) * numbers.uniform(
                0.7, 1.3, shown.shape
            )
            cv2.imwrite(str(folder / set_name / "images" / f"{name}.png"), grey.clip(0, 255).astype(np.uint8))
            if mask is not None:
                cv2.imwrite(str(folder / set_name / "masks" / f"{name}.png"), mask)
            rows.append((set_name, name, split, group, sequence, frame))
    with (folder / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("set", "name", "split", "group", "sequence", "frame"), *rows])
    if loops is not None:
        (folder / "loops.json").write_text(json.dumps(loops))
    return folder
