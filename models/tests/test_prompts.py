"""Simulated users in training."""

import torch

from sonotrace_models.nets.decoder import BOX_FROM, BOX_TO, NEGATIVE, PAD, POSITIVE
from sonotrace_models.prompts import JITTER, carried_box, correct, first_points


def squares() -> torch.Tensor:
    truth = torch.zeros(64, 256, 256, dtype=torch.bool)
    for row in range(64):
        truth[row, 20 + row : 80 + row, 30 + row : 130 + row] = True
    return truth


def test_first_clicks_are_on_the_object_and_boxes_loose_by_a_fifth() -> None:
    truth = squares()
    points = first_points(truth, torch.Generator().manual_seed(0), box_share=0.5)
    assert 0 < points.is_box.sum() < 64
    for row in range(64):
        (x, y), (x1, y1) = points.coords[row, :2].tolist()
        labels = points.labels[row].tolist()
        if points.is_box[row]:
            assert labels[:3] == [BOX_FROM, BOX_TO, PAD]
            for seen, true, extent in ((x, 30, 99), (y, 20, 59), (-x1, -129, 99), (-y1, -79, 59)):
                off = (seen - true - (row if true > 0 else -row)) / extent
                assert -JITTER - 1e-3 <= off <= JITTER / 2 + 1e-3
        else:
            assert labels[:2] == [POSITIVE, PAD]
            assert truth[row, int(y), int(x)]


def test_a_correction_is_in_the_larger_error_and_of_its_kind() -> None:
    truth = torch.zeros(40, 128, 128, dtype=torch.bool)
    truth[:, 20:80, 20:80] = True
    missed, leaked = truth.clone(), truth.clone()
    missed[:, 20:50] = False
    leaked[:, 80:100, 20:80] = True
    generator = torch.Generator().manual_seed(0)
    points = first_points(truth.repeat_interleave(2, 1).repeat_interleave(2, 2), generator, box_share=0.0)
    for predicted, kind in ((missed, POSITIVE), (leaked, NEGATIVE)):
        corrected = correct(points, predicted, truth, generator)
        assert (corrected.used == 2).all()
        assert (corrected.labels[:, 1] == kind).all()
        x, y = (corrected.coords[:, 1] / 2).floor().long().unbind(1)
        assert (truth ^ predicted)[torch.arange(40), y, x].all()


def test_without_an_error_the_user_clicks_inside() -> None:
    truth = squares()[:4, ::2, ::2]
    generator = torch.Generator().manual_seed(0)
    points = first_points(squares()[:4], generator, box_share=0.0)
    corrected = correct(points, truth, truth, generator)
    assert (corrected.labels[:, 1] == POSITIVE).all()


def test_a_propagated_mask_is_corrected_by_the_first_click_with_or_without_its_box() -> None:
    truth = torch.zeros(40, 128, 128, dtype=torch.bool)
    truth[:, 20:80, 20:80] = True
    carried = torch.zeros_like(truth)
    carried[:, 20:80, 20:95] = True
    is_box = torch.arange(40) % 2 == 0
    box = carried_box(carried, is_box)
    points = correct(box, carried, truth, torch.Generator().manual_seed(0))
    assert points.is_box.equal(is_box)
    for row in range(40):
        used = int(points.used[row])
        assert used == (3 if points.is_box[row] else 1)
        assert points.labels[row, used - 1] == NEGATIVE
        x, y = (points.coords[row, used - 1] / 2).long().tolist()
        assert carried[row, y, x]
        assert not truth[row, y, x]
        if points.is_box[row]:
            assert points.coords[row, :2].tolist() == [[40, 40], [189, 159]]
            assert points.labels[row, :2].tolist() == [BOX_FROM, BOX_TO]


def test_an_empty_propagated_mask_has_no_box() -> None:
    box = carried_box(torch.zeros(4, 128, 128, dtype=torch.bool), torch.ones(4, dtype=torch.bool))
    assert not box.is_box.any()
    assert box.used.tolist() == [0] * 4
    assert (box.labels == PAD).all()
