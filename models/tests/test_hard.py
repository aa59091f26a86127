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
