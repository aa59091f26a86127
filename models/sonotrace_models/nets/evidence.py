"""What shows, without the truth, whether a tracked mask is right: the evidence that confidence is computed from.

All of it is at hand in the runtime: the masks of tracker and segmenter, the segmenter's own estimate, the encoder's embedding
and the tracker's keys of this frame and of the reference, and the frame's grey levels.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sonotrace_models.nets.encoder import GRID, Features
from sonotrace_models.nets.layers import to_tokens
from sonotrace_models.nets.tracker import KEY, MASK_SIDE

EVIDENCE = {
    "iou": "the segmenter's estimate for its answer, told the tracked mask's odds and box, 0 to 1; 0 for an empty mask",
    "iou_lost": "the same, minus that of the reference",
    "agreement": "Dice of the tracked mask and that answer",
    "gap": "sum of |difference of probability| between both, over the root of the area, at most 20",
    "age": "frames since that answer, at most 16",
    "sureness": "mean probability within the mask",
    "doubt": "pixels with a probability of 0.1 to 0.9, over the root of the area, at most 20",
    "step": "absolute logarithm of the area over that of the frame before, at most 3",
    "step_overlap": "Dice of the mask and that of the frame before",
    "move": "distance of the centroid from that of the frame before, over the root of the area, at most 3",
    "away": "distance of the centroid from that in the reference, over the root of the area there, at most 4",
    "drift": "absolute logarithm of the area over that in the reference, at most 3",
    "size": "logarithm of the area over the frame's",
    "alike": "cosine of the mean embedding inside and that inside the reference's mask",
    "ring_alike": "the same for the surroundings",
    "contrast": "cosine of the mean embeddings inside and around, minus the same in the reference",
    "alike_before": "cosine of the mean embedding inside and that in the frame before",
    "frame_alike": "cosine of the frame's mean embedding and the reference's",
    "known": "mean within the mask of each token's largest cosine with the reference's tokens, by the tracker's keys",
    "frame_known": "the same over the frame",
    "found_inside": "mean within the mask of the share of a token's attention that the reference's object gets",
    "found_share": "share of all such attention that lies within the mask",
    "found_all": "all such attention over the object's tokens in the reference, at most 4",
    "grey": "logarithm of the mean grey level inside over that in the reference, within 4",
    "spread": "the same for the standard deviation",
    "dark": "share of the inside with grey levels up to 0.03, minus the same in the reference",
    "level": "logarithm of the frame's mean grey level over the reference's, within 4",
}
"""Inputs of the regressions. Sums are over masks of 128 x 128; embedding, keys and attention over tokens, weighted by the
share of each that the mask covers. The attention is the softmax of 2 sqrt(128) times the cosine."""
LEAST = 1e-4
"""Least share or grey level, before a logarithm."""
AREA_LEAST = 1.0
"""Least area in pixels, before a logarithm or division."""
DOUBTED = 0.4
"""A pixel is doubtful if its probability is nearer to 0.5 than this."""
RING = 5
"""Width in tokens, of the square that is the surroundings of a token."""
DARK = 0.03
"""Grey level up to which a pixel shows nothing."""


class Looks(NamedTuple):
    """How objects look in a frame; the background is id 0."""

    mask: Tensor
    """[batch, 11, 128, 128] bool"""
    area: Tensor
    """[batch, 11], pixels"""
    centre: Tensor
    """[batch, 11, 2]: x and y, pixels"""
    inside: Tensor
    """[batch, 11, 256]: mean direction of the embedding inside"""
    ring: Tensor
    """[batch, 11, 256]: around it"""
    grey: Tensor
    """[batch, 11]: mean grey level inside"""
    spread: Tensor
    """[batch, 11]: its standard deviation"""
    dark: Tensor
    """[batch, 11]: share of the inside that shows nothing"""
    whole: Tensor
    """[batch, 256]: mean direction of the embedding"""
    level: Tensor
    """[batch]: mean grey level"""
    keys: Tensor
    """[batch, 256, 128]: the tracker's, of unit length"""
    cells: Tensor
    """[batch, 256, 11]: share of each token that lies inside"""
    iou: Tensor
    """[batch, 11]: the segmenter's estimate"""


def looks_of(features: Features, key: Tensor, grey: Tensor, odds: Tensor, iou: Tensor) -> Looks:
    """Describes a frame.

    Args:
        key: [batch, 256, 128], the tracker's.
        grey: [batch, 1, 256, 256] in [0, 1].
        odds: [batch, 11, 128, 128].
        iou: [batch, 11].
    """
    mask = odds > 0
    solid = mask.float()
    area = solid.sum((2, 3))
    at = torch.arange(MASK_SIDE, device=odds.device).float()
    centre = torch.stack([(solid.sum(2) * at).sum(2), (solid.sum(3) * at).sum(2)], -1) / area.clamp(min=1)[..., None]
    cells = F.avg_pool2d(solid, MASK_SIDE // GRID)
    around = (F.max_pool2d(cells, RING, 1, RING // 2) - cells).clamp(min=0)
    tokens = F.normalize(to_tokens(features.embedding.float()), dim=-1)
    inside, ring = (_mean(to_tokens(weights), tokens) for weights in (cells, around))
    half = F.avg_pool2d(grey, grey.shape[-1] // MASK_SIDE)
    total = area.clamp(min=1)
    mean = (solid * half).sum((2, 3)) / total
    spread = ((solid * half.square()).sum((2, 3)) / total - mean.square()).clamp(min=0).sqrt()
    dark = (solid * (half < DARK)).sum((2, 3)) / total
    return Looks(
        mask,
        area,
        centre,
        inside,
        ring,
        mean,
        spread,
        dark,
        F.normalize(tokens.mean(1), dim=-1),
        half.mean((1, 2, 3)),
        F.normalize(key.float(), dim=-1),
        to_tokens(cells),
        iou,
    )


OF_FRAME = ("whole", "level", "keys")
"""Parts of `Looks` that are of a frame, not of its objects."""


def with_objects(looks: Looks, other: Looks, objects: Tensor) -> Looks:
    """Looks with some objects, [batch, 11] bool, as in another frame."""
    parts: dict[str, Tensor] = {}
    for name, part in looks._asdict().items():
        if name not in OF_FRAME:
            axis = 2 if name == "cells" else 1
            shape = [len(objects)] + [objects.shape[1] if at == axis else 1 for at in range(1, part.ndim)]
            parts[name] = torch.where(objects.reshape(shape), getattr(other, name), part)
    return looks._replace(**parts)


def _mean(weights: Tensor, tokens: Tensor) -> Tensor:
    """[batch, ids, channels]: mean direction of tokens by weights, [batch, tokens, ids]."""
    return F.normalize(weights.transpose(1, 2) @ tokens, dim=-1)


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Dice of masks, [batch, 11, 128, 128] bool; 0 if both are empty."""
    both, one, other = ((mask).sum((2, 3)).float() for mask in (first & second, first, second))
    return 2 * both / (one + other).clamp(min=1)


def evidence_of(
    now: Looks, before: Looks, reference: Looks, odds: Tensor, tracked: Tensor, drawn: Tensor
) -> dict[str, Tensor]:
    """The evidence of each object, [batch, 11], of `EVIDENCE` but for its age.

    Args:
        now, before, reference: this frame, the frame before, and the reference.
        odds: [batch, 11, 128, 128]: of the refined masks, which `now` describes.
        tracked, drawn: [batch, 11, 128, 128]: the tracker's odds, and the segmenter's answer.
    """
    probability = odds.sigmoid()
    area, area_before, area_reference = (looks.area.clamp(min=AREA_LEAST) for looks in (now, before, reference))
    gap = (drawn.sigmoid() - tracked.sigmoid()).abs().sum((2, 3))
    doubt = ((probability - 0.5).abs() < DOUBTED).sum((2, 3))
    # How well this frame's tokens are known from the reference, and to which object they belong there.
    like = now.keys @ reference.keys.transpose(1, 2)
    best = like.amax(2)
    found = (2 * KEY**0.5 * like).softmax(-1) @ reference.cells
    cells = now.cells.sum(1).clamp(min=LEAST)
    step, drift = ((area / other).log() for other in (area_before, area_reference))
    of_frame = torch.ones_like(area)
    return {
        "iou": now.iou,
        "iou_lost": now.iou - reference.iou,
        "agreement": overlap(tracked > 0, drawn > 0),
        "gap": (gap / area.sqrt()).clamp(max=20),
        "sureness": (probability * now.mask).sum((2, 3)) / area,
        "doubt": (doubt / area.sqrt()).clamp(max=20),
        "step": step.abs().clamp(max=3),
        "step_overlap": overlap(now.mask, before.mask),
        "move": ((now.centre - before.centre).norm(dim=-1) / area.sqrt()).clamp(max=3),
        "away": ((now.centre - reference.centre).norm(dim=-1) / area_reference.sqrt()).clamp(max=4),
        "drift": drift.abs().clamp(max=3),
        "size": (area / MASK_SIDE**2).log(),
        "alike": (now.inside * reference.inside).sum(-1),
        "ring_alike": (now.ring * reference.ring).sum(-1),
        "contrast": (now.inside * now.ring).sum(-1) - (reference.inside * reference.ring).sum(-1),
        "alike_before": (now.inside * before.inside).sum(-1),
        "frame_alike": (now.whole * reference.whole).sum(-1, keepdim=True) * of_frame,
        "known": (best[..., None] * now.cells).sum(1) / cells,
        "frame_known": best.mean(1, keepdim=True) * of_frame,
        "found_inside": (found * now.cells).sum(1) / cells,
        "found_share": (found * now.cells).sum(1) / found.sum(1).clamp(min=LEAST),
        "found_all": (found.sum(1) / reference.cells.sum(1).clamp(min=LEAST)).clamp(max=4),
        "grey": log_ratio(now.grey, reference.grey),
        "spread": log_ratio(now.spread, reference.spread),
        "dark": now.dark - reference.dark,
        "level": log_ratio(now.level, reference.level)[:, None] * of_frame,
    }


def log_ratio(now: Tensor, reference: Tensor) -> Tensor:
    """The logarithm of a grey level over the reference's, within 4."""
    return (now.clamp(min=LEAST) / reference.clamp(min=LEAST)).log().clamp(-4, 4)
