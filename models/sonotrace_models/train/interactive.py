"""Iterative prompting: the network computes a mask, a simulated user corrects it, and so on (paper, 2.5)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sonotrace_models import SIZE
from sonotrace_models.data.fields import chance, smooth, uniform
from sonotrace_models.data.pack import MIN_OBJECT_PX
from sonotrace_models.losses import Taught, dice_focal, distillation, overlap
from sonotrace_models.nets.decoder import Answer, Prompt
from sonotrace_models.prompts import Points, carried_box, correct, first_points

LEARNT_CLICKS_MAX = 3


@dataclass
class Prompting:
    """Parameters of the simulated user."""

    is_iterative: bool = True
    """Train with correcting clicks; otherwise with the first prompt only."""
    box_share: float = 0.35
    """Share of objects whose first prompt is a box."""
    late_share: float = 0.45
    """Share of steps that start after up to `late_clicks` corrections, made without learning from them."""
    late_clicks: int = 7
    carried_share: float = 0.4
    """Share of objects that start with a mask propagated from another frame."""
    refined_share: float = 0.3
    """Share of these that get no click, only the propagated mask's box: the network learns to refine them."""
    carried_box_share: float = 0.8
    """Share of the others, which the first click corrects, that get the propagated mask's box too."""
    kept_mask_share: float = 0.85
    """Share of corrections that are prompted with the previous mask."""
    regret_weight: float = 4.0
    """Weight of the Dice that a correction loses: a user expects each click to help."""
    distillation_weight: float = 0.0
    """Weight of the divergence from the teacher's best mask."""


def interactive_loss(
    decode: Callable[[Prompt], Answer],
    truth: Tensor,
    side: int,
    prompting: Prompting,
    generator: Generator,
    numbers: np.random.Generator,
    taught: Taught | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean loss over the masks for a few successive prompts.

    Args:
        decode: the decoder, on features of the rows' images.
        truth: [rows, 256, 256] bool.
        side: side of the network's masks.
        taught: the teacher's best masks.

    Returns:
        The loss, and Dice after the first and the last prompt.
    """
    target = F.avg_pool2d(truth[:, None].float(), SIZE // side)
    solid = target[:, 0] >= 0.5
    counts = truth.sum((1, 2)) >= MIN_OBJECT_PX
    share = counts.float() / counts.sum().clamp(min=1)
    points = first_points(truth, generator, prompting.box_share)
    logits, is_carried = carried_masks(target, prompting.carried_share if prompting.is_iterative else 0.0, generator)
    is_refined = is_carried & chance(generator, len(truth), prompting.refined_share)
    carried = logits[:, 0] > 0
    box = carried_box(carried, is_refined | chance(generator, len(truth), prompting.carried_box_share))
    corrected = correct(box, carried, solid, generator)
    points = box.where(is_refined, corrected).where(is_carried, points)
    has_mask = is_carried.float()
    late = learnt = 0
    if prompting.is_iterative:
        learnt = int(numbers.choice(LEARNT_CLICKS_MAX, p=[0.4, 0.35, 0.25]))
        late = int(numbers.integers(1, prompting.late_clicks + 1)) if numbers.random() < prompting.late_share else 0
    with torch.no_grad():
        for _ in range(late):
            answer = decode(points.prompt(logits, has_mask))
            logits, has_mask, points = _turn(answer, points, is_carried, solid, prompting, generator)
    total = torch.zeros((), device=truth.device)
    # A click on a propagated mask must help too. Without a click, a lower Dice than before has no extra cost.
    is_corrected = (has_mask > 0) & ~(is_refined & (late == 0))
    before = torch.where(is_corrected, dice_focal(logits, target)[0][:, 0], torch.inf)
    logged: dict[str, Tensor] = {}
    for turn in range(learnt + 1):
        answer = decode(points.prompt(logits, has_mask))
        mask = answer.mask.float()
        dice_losses, focal_losses = (part[:, 0] for part in dice_focal(mask, target))
        losses = dice_losses + focal_losses
        if taught is not None and prompting.distillation_weight > 0:
            losses = losses + prompting.distillation_weight * distillation(mask, taught)[:, 0]
        true_iou = overlap(mask, target)[:, 0]
        losses = losses + (answer.iou[:, 0].float() - true_iou) ** 2
        losses = losses + prompting.regret_weight * F.relu(dice_losses - before)
        total = total + (losses * share).sum()
        before = dice_losses.detach()
        dice = 2 * true_iou / (1 + true_iou)
        logged["dice_last"] = (dice * share).sum()
        if turn == 0 and late == 0:
            logged["dice_first"] = logged["dice_last"]
        if turn < learnt:
            logits, has_mask, points = _turn(answer, points, is_carried, solid, prompting, generator)
    return total / (learnt + 1), logged


@torch.no_grad()
def _turn(
    answer: Answer,
    points: Points,
    is_carried: Tensor,
    solid: Tensor,
    prompting: Prompting,
    generator: Generator,
) -> tuple[Tensor, Tensor, Points]:
    """The user corrects the mask."""
    shown = answer.mask.detach().float()
    points = correct(points, shown[:, 0] > 0, solid, generator)
    # Without the propagated mask, its corrections would be ambiguous.
    has_mask = (is_carried | chance(generator, len(solid), prompting.kept_mask_share)).float()
    return shown * has_mask[:, None, None, None], has_mask, points


def carried_masks(target: Tensor, share: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Logits of inaccurate masks, as if propagated from another frame, for some rows; and which rows these are.

    Size, position and shape are off by shares of the object's extent.
    """
    rows, pitch = len(target), SIZE // target.shape[-1]
    is_carried = chance(generator, rows, share)
    at = torch.linspace(-1, 1, target.shape[-1], device=target.device)
    mass = target.sum((1, 2, 3)).clamp(min=1)
    centre = torch.stack([(target.sum((1, 2 + axis)) * at).sum(1) / mass for axis in (0, 1)], 1)
    extent = (4 * target.mean((1, 2, 3))).sqrt()[:, None]
    scale = 1 + uniform(generator, (rows, 1), -0.12, 0.12) + uniform(generator, (rows, 2), -0.06, 0.06)
    shift = extent * uniform(generator, (rows, 2), -0.08, 0.08) + centre * (1 - scale)
    matrix = torch.cat([torch.diag_embed(scale), shift[..., None]], -1)
    bend = extent[:, 0] * uniform(generator, (rows,), 0, 0.05)
    bent = smooth(generator, rows, 6, bend)[:, ::pitch, ::pitch]
    field = F.affine_grid(matrix, list(target.shape), align_corners=False) + bent
    moved = F.grid_sample(target, field, align_corners=False)
    confidence = uniform(generator, (rows, 1, 1, 1), 4, 16)
    return (2 * moved - 1) * confidence * is_carried[:, None, None, None], is_carried
