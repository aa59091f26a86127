"""Augmentation of appearance: grey levels change, black pixels stay black."""

import pytest
import torch
import torch.nn.functional as F

from sonotrace_models.data.augment import Appearance, attenuate, crop_to_sector, haze, lift, shadow, speckle

CHANGES = [attenuate, lift, shadow, haze, speckle, crop_to_sector, Appearance()]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: getattr(change, "__name__", "all"))
def test_augmentations_change_some_images_and_keep_black_pixels(change: Appearance) -> None:
    grey = torch.rand(32, 1, 256, 256, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    grey[..., 200:] = 0
    changed = change(grey, torch.Generator().manual_seed(1))
    assert (changed - grey).abs().amax((1, 2, 3)).max() > 0.02
    assert changed.min() >= 0
    # Away from the edge, where blur reaches.
    assert changed[..., 205:].max() == 0


def test_all_changes_together_stay_in_range() -> None:
    grey = torch.rand(32, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    changed = Appearance()(grey, torch.Generator().manual_seed(1))
    assert 0 <= changed.min() < changed.max() <= 1


def test_a_shadow_starts_at_a_depth_and_has_a_limited_width() -> None:
    grey = torch.ones(64, 1, 256, 256)
    dark = 1 - shadow(grey, torch.Generator().manual_seed(0))[:, 0]
    is_shadowed = dark.amax((1, 2)) > 0.15
    assert 4 < is_shadowed.sum() < 32
    assert dark[~is_shadowed].max() < 0.15
    # Along a beam, which slants by less than a pixel per row, the shadow does not get lighter inside the image.
    below = F.max_pool2d(dark[:, 1:], (1, 3), 1, (0, 1))
    assert (below - dark[:, :-1])[..., 2:-2].min() > -0.02
    # It does not cover a whole image.
    assert (dark[is_shadowed].amin((1, 2)) < 0.01).all()


def test_frames_of_a_sequence_have_the_same_shadow() -> None:
    frames = torch.ones(32, 5, 256, 256)
    dark = shadow(frames, torch.Generator().manual_seed(0))
    assert (dark < 0.9).any()
    torch.testing.assert_close(dark, dark[:, :1].expand_as(dark))
