"""A small synthetic data folder: bright images with dark discs, in the layout of the real one."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sonotrace_models.data.pack import pack

# One thread: waiting for a second one takes longer than these small networks gain from it on a busy machine.
torch.set_num_threads(1)

IMAGES = {"train": 6, "val": 3, "test": 3}


def draw(folder: Path) -> None:
    """Writes the images, masks and manifest."""
    numbers = np.random.default_rng(0)
    (folder / "DISCS" / "images").mkdir(parents=True)
    (folder / "DISCS" / "masks").mkdir()
    rows = []
    for split, count in IMAGES.items():
        for at in range(count):
            name = f"{split}_{at}"
            mask = np.zeros((90, 120), np.uint8)
            for id_, x in ((1, 35), (2, 85)):
                centre = (x + int(numbers.integers(-5, 6)), 45 + int(numbers.integers(-8, 9)))
                cv2.ellipse(
                    mask, centre, (int(numbers.integers(8, 16)), int(numbers.integers(8, 20))), 0, 0, 360, id_, -1
                )
            grey = np.where(mask > 0, 40, 140) * numbers.uniform(0.5, 1.5, mask.shape)
            cv2.imwrite(str(folder / "DISCS" / "images" / f"{name}.png"), grey.clip(0, 255).astype(np.uint8))
            cv2.imwrite(str(folder / "DISCS" / "masks" / f"{name}.png"), mask)
            rows.append({"set": "DISCS", "name": name, "split": split, "group": name, "sequence": "", "frame": ""})
    with (folder / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder."""
    folder = tmp_path_factory.mktemp("data")
    draw(folder)
    return folder


@pytest.fixture(scope="session")
def packed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed data folder."""
    folder = tmp_path_factory.mktemp("pack")
    pack([data], folder)
    return folder
