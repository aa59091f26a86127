"""Hard loops: what a scanner shows, and its truth."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sonotrace_models.data.hard import KINDS, HardLoop, HardLoops, Recipe, read_recipes, recipes, write_recipes
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.data.scene import mirrored, view_of
from sonotrace_models.data.sequences import SequenceSource, Shares
from sonotrace_models.nets.tracker import IDS
from sonotrace_models.nets.tracking import shares_of
from sonotrace_models.train.tracker import MISTAKEN_SHARE, trusted_masks

TEST_LOOPS = Path(__file__).parents[1] / "sonotrace_models" / "evaluate" / "hard_test_loops.json"


@pytest.fixture(scope="module")
def hard(packed: Path) -> HardLoops:
    """Hard loops of the discs."""
    return HardLoops(Pack(packed), None)


def made(hard: HardLoops, kind: str, seed: int = 5) -> HardLoop:
    """A hard loop of the first disc image."""
    return hard.make(Recipe(kind, "DISCS", "test_0", "test_1", seed))


def areas(loop: HardLoop) -> torch.Tensor:
    """[frame]: pixels of the first object."""
    return (loop.ids == 1).flatten(1).sum(1).float()


def test_a_recipe_gives_the_same_loop_again(hard: HardLoops) -> None:
    for kind, of_kind in KINDS.items():
        first, again = made(hard, kind), made(hard, kind)
        assert len(first.grey) == of_kind.frames
        assert torch.equal(first.grey, again.grey)
        assert torch.equal(first.ids, again.ids)
        assert not torch.equal(first.grey, made(hard, kind, seed=6).grey)


def test_the_field_of_view_stays_while_tissue_moves(hard: HardLoops) -> None:
    inside = torch.from_numpy(view_of(np.asarray(hard.pack.images[hard.at["DISCS", "test_0"]])).inside)
    for kind in ("slide", "slide_tissue", "shadow", "depth", "gain", "air", "motion"):
        loop = made(hard, kind)
        assert (loop.grey[:, 0][:, ~inside] == 0).all()
        assert (loop.ids[:, ~inside] == 0).all()
    # Tissue comes in where the image has none.
    away = made(hard, "slide").grey[10, 0]
    assert (away[inside] > 0.02).float().mean() > 0.95


def test_an_object_slides_away_and_comes_back(hard: HardLoops) -> None:
    for kind in ("slide", "slide_long", "slide_tissue"):
        loop = made(hard, kind)
        middle = len(loop.grey) // 2
        assert loop.visibility[0].min() == 1
        assert loop.visibility[middle].max() == 0
        assert not loop.is_present[middle].any()
        assert loop.visibility[-1].min() > 0.9


def test_the_truth_holds_what_a_shadow_hides(hard: HardLoops) -> None:
    loop = made(hard, "shadow")
    assert loop.visibility[:, 0].min() < 0.1
    assert loop.is_present.all()
    area = areas(loop)
    hidden = loop.visibility[:, 0] < 0.1
    assert area[hidden].min() > 0.5 * area[0]
    of_object = loop.ids == 1
    assert loop.grey[:, 0][hidden][of_object[hidden]].mean() < 0.4 * loop.grey[0, 0][of_object[0]].mean()


def test_a_change_of_depth_scales_the_object_at_once(hard: HardLoops) -> None:
    # The same seed moves the tissue in the same way.
    deep, plain = made(hard, "depth"), made(hard, "motion")
    third = len(deep.grey) // 3
    ratio = areas(deep) / areas(plain)[: len(deep.grey)]
    is_whole = (deep.visibility[:, 0] > 0.99) & (plain.visibility[: len(deep.grey), 0] > 0.99)
    assert is_whole[third : 2 * third].any()
    for frames, expected in ((slice(third), 1), (slice(third, 2 * third), 1 / 1.4**2), (slice(2 * third, None), 1)):
        assert ratio[frames][is_whole[frames]] == pytest.approx(expected, rel=0.05)


def test_air_and_another_patient_have_no_object(hard: HardLoops) -> None:
    for kind in ("air", "other_patient"):
        loop = made(hard, kind)
        gone = ~loop.is_present.any(1)
        assert int(gone.sum()) == 5
        assert (loop.visibility[gone] == 0).all()
    other = torch.from_numpy(np.asarray(hard.pack.images[hard.at["DISCS", "test_1"]], np.float32)) / 255
    assert torch.equal(made(hard, "other_patient").grey[9, 0], other)


def test_lists_have_each_kind_and_never_the_same_patient_twice(hard: HardLoops, tmp_path: Path) -> None:
    found = recipes(hard.pack, None, "train")
    assert {recipe.kind for recipe in found} == set(KINDS)
    assert all(recipe.name != recipe.other for recipe in found)
    write_recipes(found, tmp_path / "list.json")
    assert read_recipes(tmp_path / "list.json") == found
    (tmp_path / "list.json").write_text(json.dumps([{**vars(found[0]), "kind": "earthquake"}]))
    with pytest.raises(DataError, match="earthquake; there are slide"):
        read_recipes(tmp_path / "list.json")
    with pytest.raises(DataError, match="no image nobody"):
        hard.make(Recipe("air", "DISCS", "nobody", "test_1", 1))


def test_the_test_list_has_at_least_twenty_loops_of_each_kind() -> None:
    found = read_recipes(TEST_LOOPS)
    for kind in KINDS:
        assert sum(recipe.kind == kind for recipe in found) >= 20


def test_mirrored_tissue_is_known_tissue() -> None:
    numbers = np.random.default_rng(0)
    image = numbers.random((40, 60)).astype(np.float32)
    is_known = np.zeros(image.shape, bool)
    is_known[5:30, 10:40] = True
    found = mirrored(image, is_known)
    assert (found[is_known] == image[is_known]).all()
    assert np.isin(found, image[is_known]).all()
    # At an edge, one pixel out shows about one pixel in.
    assert found[10, 9] == image[10, 10] or found[10, 9] == image[10, 11]


def test_sources_tell_where_tissue_comes_from(hard: HardLoops) -> None:
    loop = made(hard, "slide")
    image = torch.from_numpy(np.asarray(hard.pack.masks[hard.at["DISCS", "test_0"]], np.float32))
    inside = torch.from_numpy(view_of(np.asarray(hard.pack.images[hard.at["DISCS", "test_0"]])).inside)
    for frame in (0, 3, len(loop.grey) - 1):
        found = torch.nn.functional.grid_sample(
            image[None, None], loop.sources[frame, None], mode="nearest", align_corners=False
        )[0, 0]
        object_ = loop.ids[frame] == 1
        is_own = (loop.sources[frame].abs() <= 1).all(-1) & inside
        assert ((found > 0) == object_)[is_own & (object_ | (found == 0))].float().mean() > 0.98
    assert made(hard, "air").scenes.tolist() == [0] * 7 + [1] * 5 + [0] * 8
    assert made(hard, "other_patient").scenes.unique().tolist() == [0, 2]


def test_loops_to_learn_from_are_of_any_length_and_strength(hard: HardLoops) -> None:
    numbers, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    train = hard.pack.select("train")
    gone = 0
    for frames in (8, 11, 14) * 3:
        loop = hard.practise(train[0], train[1], frames, numbers, generator)
        assert loop.grey.shape == (frames, 1, 256, 256)
        assert len(loop.ids) == len(loop.visibility) == len(loop.sources) == len(loop.scenes) == frames
        assert loop.is_present[0].all()
        gone += int((loop.visibility.amax(1) == 0).any())
    assert gone > 2


def test_training_sequences_can_be_hard(hard: HardLoops) -> None:
    generator, numbers = torch.Generator().manual_seed(0), np.random.default_rng(0)
    torch.manual_seed(0)
    source = SequenceSource(hard.pack, None, generator, numbers, Shares(loops=0, runs=0, hard=1))
    drawn = source.draw(6, 9)
    assert drawn.grey.shape == drawn.ids.shape == (6, 9, 256, 256)
    assert drawn.visibility.shape == (6, 9, IDS)
    for row in range(6):
        (number,) = [int(id_) for id_ in drawn.ids[row, 0].unique() if id_ > 0][:1] or [0]
        if number:
            # An object that is not in the frame cannot be seen.
            is_there = (drawn.ids[row] == number).flatten(1).any(1)
            assert (drawn.visibility[row, ~is_there, number] < 0.5).all()
    assert drawn.visibility.min() < 0.2
    assert (drawn.visibility[:, :, 0] == 1).all()


def test_wrong_and_hidden_masks_are_not_learnt_from() -> None:
    ids = torch.zeros(1, 256, 256)
    ids[:, 40:100, 40:100], ids[:, 120:180, 40:100], ids[:, 200:250, 40:100] = 1, 2, 3
    truth = shares_of(ids)
    found = shares_of(torch.where(ids == 2, 0.0, ids))
    visibility = torch.ones(1, IDS)
    visibility[0, 3] = 0.1
    torch.manual_seed(0)
    trusted = torch.stack([trusted_masks(found, truth, visibility)[0, 1:4] for _ in range(200)]).float().mean(0)
    # Some are mistaken, as in use.
    assert trusted[0] == pytest.approx(1 - MISTAKEN_SHARE, abs=0.05)
    assert trusted[1] == pytest.approx(MISTAKEN_SHARE, abs=0.05)
    assert trusted[2] == pytest.approx(MISTAKEN_SHARE, abs=0.05)
