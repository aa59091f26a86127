"""Losses against plain formulas."""

import torch

from sonotrace_models.losses import Taught, boundary_weight, dice_focal, distillation, overlap


def square(side: int = 64) -> torch.Tensor:
    truth = torch.zeros(1, 1, side, side)
    truth[..., 16:48, 16:48] = 1
    return truth


def test_a_confident_mask_has_a_low_loss_if_right_and_a_high_one_if_wrong() -> None:
    truth = square()
    right, wrong = (torch.cat(dice_focal(sign * (truth - 0.5) * 40, truth)).sum() for sign in (1, -1))
    assert right.item() < 1e-3
    assert wrong.item() > 1


def test_a_soft_truth_has_the_lowest_loss_itself() -> None:
    truth = square()
    truth[..., 16, :] *= 0.3
    exact = torch.logit(truth.clamp(1e-6, 1 - 1e-6))
    assert sum(dice_focal(exact, truth)) < sum(dice_focal((truth - 0.5) * 40, truth))


def test_distillation_is_zero_for_the_teachers_own_mask_and_positive_for_others() -> None:
    teacher = square() * 0.7 + 0.1
    taught = Taught(teacher, torch.ones(1))
    assert distillation(torch.logit(teacher), taught).abs().item() < 1e-6
    assert distillation(torch.zeros_like(teacher), taught).item() > 0.01
    assert distillation(torch.zeros_like(teacher), Taught(teacher, torch.zeros(1))).item() == 0


def test_distillation_accepts_bf16_probabilities() -> None:
    sure = torch.zeros(1, 1, 32, 32, dtype=torch.bfloat16)
    sure[..., 8:20, 8:20] = 1
    assert distillation(torch.zeros(1, 1, 32, 32), Taught(sure, torch.ones(1))).isfinite().all()


def test_the_boundary_has_more_weight() -> None:
    weight = boundary_weight(square())[0, 0]
    assert weight[32, 32] == 1
    assert weight[0, 0] == 1
    assert weight[16, 32] > 1
    assert weight[15, 32] > 1


def test_overlap_counts_pixels() -> None:
    truth = square(64)
    logits = torch.full_like(truth, -1.0)
    logits[..., 16:48, 16:32] = 1
    assert overlap(logits, truth).item() == 0.5
