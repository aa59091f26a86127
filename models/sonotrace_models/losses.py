"""Training losses. Masks are logits [rows, masks, side, side]; truth is [rows, 1, side, side] in [0, 1], the covered share of
each pixel."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor

FOCAL_WEIGHT = 10.0
FOCAL_GAMMA = 2.0
BOUNDARY_WEIGHT = 4.0
"""Extra weight of a pixel near the true boundary in the focal loss."""
BOUNDARY_SHARE = 1 / 32
"""Width of that band, as a share of the side."""

_dice = DiceLoss(sigmoid=True, reduction="none", soft_label=True, smooth_nr=1.0, smooth_dr=1.0)


def dice_focal(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """[rows, masks] each: Dice loss and focal loss, whose sum is minimised (paper, equation 1). The focal loss is weighted
    towards the boundary."""
    truth = truth.expand_as(logits)
    dice = _dice(logits, truth)[..., 0, 0]
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    focal = entropy * (logits.sigmoid() - truth).abs() ** FOCAL_GAMMA
    weight = boundary_weight(truth[:, :1])
    return dice, FOCAL_WEIGHT * (focal * weight).mean((-1, -2))


def boundary_weight(truth: Tensor) -> Tensor:
    """1 away from the boundary, `1 + BOUNDARY_WEIGHT` in the band around it; same shape as `truth`."""
    window = round(truth.shape[-1] * BOUNDARY_SHARE) | 1
    dilated = F.max_pool2d(truth, window, 1, window // 2)
    eroded = -F.max_pool2d(-truth, window, 1, window // 2)
    return 1 + BOUNDARY_WEIGHT * (dilated - eroded)


class Taught(NamedTuple):
    """The teacher's masks."""

    probability: Tensor
    """[rows, 1, side, side]: its best mask"""
    is_there: Tensor
    """[rows]: 1 if there is a mask, else 0"""


def distillation(logits: Tensor, taught: Taught) -> Tensor:
    """[rows, masks]: KL divergence of the student's per-pixel distribution from the teacher's, weighted towards the
    teacher's boundary, where the two differ; 0 for rows without a teacher's mask."""
    # In f32: bf16 has no value between 0.996 and 1.
    teacher = taught.probability.float().expand_as(logits).clamp(1e-4, 1 - 1e-4)
    entropy = -(teacher * teacher.log() + (1 - teacher) * (1 - teacher).log())
    divergence = F.binary_cross_entropy_with_logits(logits, teacher, reduction="none") - entropy
    weight = boundary_weight(teacher[:, :1])
    return (divergence * weight).mean((-1, -2)) * taught.is_there[:, None]


@torch.no_grad()
def overlap(logits: Tensor, truth: Tensor) -> Tensor:
    """[rows, masks]: intersection over union of the thresholded masks, the target of the IoU head."""
    predicted, truth = logits > 0, (truth >= 0.5).expand_as(logits)
    union = (predicted | truth).sum((-1, -2))
    return (predicted & truth).sum((-1, -2)) / union.clamp(min=1)
