"""Distances between contours, in pixels of the input grid (its pitch in millimetres is not known for these images)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

from sonotrace_models import SIZE


@dataclass(frozen=True)
class Distances:
    """Per object."""

    hd95_px: npt.NDArray[np.float64]
    """95th percentile of the Hausdorff distance"""
    mean_px: npt.NDArray[np.float64]
    """mean distance between the surfaces, in both directions"""


def distances(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> Distances:
    """Distances of masks, [object, 256, 256] each. The distance of an empty mask is the side of the square."""
    found, true = (torch.from_numpy(masks)[:, None].float() for masks in (predicted, truth))
    hd95 = compute_hausdorff_distance(found, true, include_background=True, percentile=95)
    mean = compute_average_surface_distance(found, true, include_background=True, symmetric=True)
    return Distances(*(np.nan_to_num(values[:, 0].numpy(), nan=SIZE, posinf=SIZE) for values in (hd95, mean)))
