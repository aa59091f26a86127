"""Loops made from two frames, on synthetic hearts and tubes, and cines as they are."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hearts import FOLLOW, LA, LV, Frames, heart, tube, write

from sonotrace_models.data.fields import warp_ids
from sonotrace_models.data.follow import Follow
from sonotrace_models.data.hard import HardLoops
from sonotrace_models.data.landmarks import LoopError, landmarks, outline, outline_landmarks
from sonotrace_models.data.loops import (
    LATTICE,
    MIDDLE,
    PHASES,
    Loops,
    backward_fields,
    drift,
    make_loops,
    to_grid,
)
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack, pack
from sonotrace_models.data.sequences import SequenceSource, Shares


def test_the_field_maps_one_mask_onto_the_other() -> None:
    diastole, systole = heart(44, 100), heart(34, 84)
    fields = backward_fields(*landmarks(diastole, systole, FOLLOW))
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
        landmarks(apart, apart, FOLLOW)
    points, _ = landmarks(heart(44, 100), heart(44, 100), FOLLOW)
    with pytest.raises(LoopError, match="folds"):
        backward_fields(points, points[::-1].copy())


def test_drift_repeats_with_its_seed_and_decorrelates() -> None:
    grey = torch.full((12, 1, 256, 256), 0.5)
    first, second = (drift(grey, torch.Generator().manual_seed(3)) for _ in range(2))
    torch.testing.assert_close(first, second)
    flat = (first - first.mean((2, 3), keepdim=True)).flatten(1)
    near = torch.cosine_similarity(flat[0], flat[1], dim=0)
    far = torch.cosine_similarity(flat[0], flat[11], dim=0)
    assert near > far + 0.2


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Loops:
    """Loops of the train split of CAMUS, and of two sets with other ids; TUBES is named in no file."""
    folder = tmp_path_factory.mktemp("any")
    beat = [heart(44, 100), heart(36, 86)]
    turning: Frames = [tube(100 + 3 * at, 60, 30, 3 * at) for at in range(5)]
    of_two = [tube(110, 60, 34, 10), tube(140, 50, 30, 30)]
    gone = tube(128, 60, 30)
    gone[gone == 200] = 0
    write(
        folder / "data",
        {
            ("CAMUS", "train", "p1", ""): beat,
            ("CAMUS", "train", "p2", "4CH"): beat,
            ("CAMUS", "train", "apart", ""): [heart(44, 100), np.where(heart(36, 86) == LA, 0, heart(36, 86))],
            ("ECHO", "train", "p1", "4CH"): [mask * 20 for mask in beat],
            ("ECHO", "train", "p1", "2CH"): [mask * 20 for mask in beat],
            ("TUBES", "train", "p1", "rest"): turning,
            ("TUBES", "train", "p2", "rest"): [*turning[:3], gone],
            ("TUBES", "train", "p2", "pair"): of_two,
            ("TUBES", "train", "p3", "half"): [*turning[:3], None],
            ("TUBES", "train", "p3", "raw"): [None, None, None],
            ("TUBES", "val", "p4", ""): turning[:1],
        },
        {"ECHO": {"follow": {"LV": 20, "LA": 60}, "heart": {"ventricle": 20, "muscle": 40, "atrium": 60}}},
    )
    pack([folder / "data"], folder / "pack")
    packed = Pack(folder / "pack")
    make_loops(packed, folder / "loops")
    return Loops(folder / "loops", packed, "train")


def at(loops: Loops, set_name: str, name: str) -> int:
    """The number of a loop."""
    return next(at for at, source in enumerate(loops.sources) if (source.set_name, source.name) == (set_name, name))


def test_each_recording_is_a_loop_and_those_without_truth_are_left_out(loops: Loops) -> None:
    assert [(source.set_name, source.name, source.frames, source.number) for source in loops.sources] == [
        ("CAMUS", "p1", 20, 0),
        ("CAMUS", "p2 4CH", 20, 1),
        ("ECHO", "p1 2CH", 20, 0),
        ("ECHO", "p1 4CH", 20, 1),
        ("TUBES", "p1 rest", 5, 0),
        ("TUBES", "p2 pair", 20, 1),
        ("TUBES", "p2 rest", 4, 2),
    ]
    assert loops.sources[2].objects == {"LV": 20, "LA": 60}
    assert loops.sources[4].objects == {"7": 7, "200": 200}
    assert loops.label(2, "LV") == "ECHO LV"
    # In turn: the first of each set, then a second one.
    assert loops.some(4) == [0, 1, 2, 4]


def test_reasons_are_printed(loops: Loops, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_loops(loops.pack, tmp_path)
    printed = capsys.readouterr().out
    assert "train: 7 loops, 2 recordings left out" in printed
    assert "CAMUS: 1 left out, a structure is missing; the first is apart: a structure is missing (id 3 in" in printed
    assert "TUBES: 1 left out, a frame has no mask; the first is p3 half" in printed
    assert json.loads((tmp_path / "patients_train.json").read_text()) == ["p1", "p2", "p1", "p1", "p2"]
    empty = Loops(tmp_path, loops.pack, "val")
    with pytest.raises(DataError, match="following needs loops of the val split"):
        empty.require("following")


def test_a_cine_is_used_as_it_is(loops: Loops) -> None:
    loop = loops.make(at(loops, "TUBES", "p1 rest"), 5)
    items = [index for index, item in enumerate(loops.pack.items) if (item.group, item.sequence) == ("p1", "rest")]
    np.testing.assert_array_equal((loop.grey[:, 0] * 255).round().numpy(), loops.pack.images[items])
    np.testing.assert_array_equal(loop.ids.numpy(), loops.pack.masks[items])
    assert loop.middle is None
    assert set(loop.numbered(4).unique().tolist()) == {0, 1, 2}


def test_without_pairs_training_is_on_cines(loops: Loops) -> None:
    source = SequenceSource(
        loops.pack, loops, torch.Generator().manual_seed(0), np.random.default_rng(0), Shares(loops=1.0, runs=0.0)
    )
    assert source.draw(1, 4).scenes.max() <= 1
    source.pairs = []
    # Each frame of a cine is an image of its own.
    assert source.draw(1, 4).scenes.tolist() == [[0, 1, 2, 3]]


def test_loops_of_another_pack_are_refused(loops: Loops, tmp_path: Path) -> None:
    (tmp_path / "loops_train.json").write_text(
        json.dumps([{"set": "TUBES", "group": "nobody", "sequence": "", "field": None}])
    )
    with pytest.raises(DataError, match="another pack"):
        Loops(tmp_path, loops.pack, "train")


def test_hard_loops_follow_what_is_named(loops: Loops) -> None:
    hard, index = HardLoops(loops.pack, loops), loops.sources[at(loops, "TUBES", "p1 rest")].images[1]
    assert hard._numbered(index).max() == 2
    hard.pack.named["TUBES"] = Follow({"disc": 200})
    try:
        numbered = hard._numbered(index)
    finally:
        del hard.pack.named["TUBES"]
    np.testing.assert_array_equal(numbered == 1, hard.pack.masks[index] == 200)
    assert numbered.max() == 1


def test_the_outlines_of_a_pair_lie_on_each_other(loops: Loops) -> None:
    pair = at(loops, "TUBES", "p2 pair")
    first, second = loops.sources[pair].images
    field = loops.motion(pair, torch.tensor([float(MIDDLE)]))
    warped = warp_ids(torch.from_numpy(loops.pack.masks[first].astype(np.float32))[None, None], field)[0, 0].numpy()
    for id_ in (7, 200):
        found, wanted = (outline(mask == id_) for mask in (warped, loops.pack.masks[second]))
        off_px = np.linalg.norm(found[:, None] - wanted, axis=2).min(1)
        assert off_px.mean() < 1
        assert off_px.max() < 3
    loop = loops.make(pair, 5)
    assert loop.middle == MIDDLE
    np.testing.assert_array_equal(loop.ids[MIDDLE].numpy(), loops.pack.masks[second])


def test_points_of_an_outline_move_with_it() -> None:
    first = tube(110, 60, 34, 20)
    # The second outline is found from another pixel on, as the first row with an object is another one.
    second = np.rot90(tube(110, 60, 34, 20), 2)
    for moved, shift in ((np.roll(first, (20, 30), (0, 1)), (30, 20)), (first, (0, 0))):
        points, their_points = outline_landmarks(first, moved, [7, 200])
        np.testing.assert_allclose(their_points - points, np.tile(shift, (len(points), 1)), atol=0.5)
    points, turned = (outline_landmarks(first, mask, [7])[1] for mask in (first, second))
    # Both run around the object in the same direction.
    assert _area(points) * _area(turned) > 0


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
