"""Sampling fields."""

import pytest
import torch

from sonotrace_models.data.embeddings import mirrored
from sonotrace_models.data.fields import affine, bend, identity, random_view, warp, warp_ids


def picture() -> torch.Tensor:
    return torch.rand(2, 1, 256, 256, generator=torch.Generator().manual_seed(0))


def test_the_identity_changes_nothing() -> None:
    image = picture()
    field = identity(2, torch.device("cpu"))
    torch.testing.assert_close(warp(image, field), image, atol=1e-4, rtol=0)
    zero = torch.zeros(2)
    torch.testing.assert_close(bend(field, zero), field)
    same = affine(field, zero, zero + 1, torch.zeros(2, 2), torch.zeros(2, dtype=torch.bool))
    torch.testing.assert_close(same, field)


def test_a_flip_mirrors_and_a_shift_shifts() -> None:
    image, zero = picture(), torch.zeros(2)
    field = identity(2, torch.device("cpu"))
    flipped = affine(field, zero, zero + 1, torch.zeros(2, 2), torch.ones(2, dtype=torch.bool))
    torch.testing.assert_close(warp(image, flipped), image.flip(-1), atol=1e-4, rtol=0)
    shifted = affine(field, zero, zero + 1, torch.tensor([[2 * 8 / 256, 0.0]] * 2), torch.zeros(2, dtype=torch.bool))
    torch.testing.assert_close(warp(image, shifted)[..., :-8], image[..., 8:], atol=1e-4, rtol=0)


def test_image_and_ids_are_warped_alike() -> None:
    ids = torch.zeros(8, 1, 256, 256)
    ids[:, :, 60:200, 80:180] = 3
    field = random_view(torch.Generator().manual_seed(1), 8)
    as_ids, as_image = warp_ids(ids, field), warp((ids > 0).float(), field)
    assert set(as_ids.unique().tolist()) == {0, 3}
    assert ((as_ids > 0) != (as_image >= 0.5)).float().mean() < 1e-3


def test_mirroring_keeps_the_padding_on_the_right() -> None:
    image = picture()
    image[..., 200:] = 0
    turned = mirrored(image, 200)
    assert turned[..., 200:].abs().max() == 0
    torch.testing.assert_close(mirrored(turned, 200), image)


@pytest.mark.parametrize("seed", [0, 1])
def test_views_repeat_with_their_seed(seed: int) -> None:
    a, b = (random_view(torch.Generator().manual_seed(seed), 4) for _ in range(2))
    torch.testing.assert_close(a, b)
