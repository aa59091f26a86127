"""Loops made from two frames, on synthetic hearts."""

import numpy as np
import pytest
import torch
from hearts import heart

from sonotrace_models.data.fields import warp_ids
from sonotrace_models.data.loops import (
    LA,
    LATTICE,
    LV,
    PHASES,
    LoopError,
    backward_fields,
    drift,
    landmarks,
    to_grid,
)


def test_the_field_maps_one_mask_onto_the_other() -> None:
    diastole, systole = heart(44, 100), heart(34, 84)
    fields = backward_fields(landmarks(diastole), landmarks(systole))
    assert fields.shape == (PHASES, LATTICE, LATTICE, 2)
    source = torch.from_numpy(diastole.astype(np.float32))[None, None].expand(PHASES, -1, -1, -1)
    warped = warp_ids(source, to_grid(torch.from_numpy(fields)))[:, 0].numpy()
    for id_ in (LV, LA):
        overlap = (
            2 * ((warped[-1] == id_) & (systole == id_)).sum() / ((warped[-1] == id_).sum() + (systole == id_).sum())
        )
        assert overlap > 0.95
        areas = (warped == id_).sum((1, 2))
        assert (np.diff(areas) <= 0).mean() > 0.8, "areas shrink towards end-systole"


def test_hearts_that_do_not_correspond_are_rejected() -> None:
    apart = heart(44, 100)
    apart[141:] = np.roll(apart[141:], 40, axis=0)
    apart[141:181] = 0
    with pytest.raises(LoopError, match="do not touch"):
        landmarks(apart)
    upside_down = landmarks(heart(44, 100))[::-1].copy()
    with pytest.raises(LoopError, match="folds"):
        backward_fields(landmarks(heart(44, 100)), upside_down)


def test_drift_repeats_with_its_seed_and_decorrelates() -> None:
    grey = torch.full((12, 1, 256, 256), 0.5)
    first, second = (drift(grey, torch.Generator().manual_seed(3)) for _ in range(2))
    torch.testing.assert_close(first, second)
    flat = (first - first.mean((2, 3), keepdim=True)).flatten(1)
    near = torch.cosine_similarity(flat[0], flat[1], dim=0)
    far = torch.cosine_similarity(flat[0], flat[11], dim=0)
    assert near > far + 0.2
