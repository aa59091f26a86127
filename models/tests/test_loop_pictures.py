"""Loops as pictures, and `sonotrace eval cine` on them against this package's evaluation of the same loops.

`SONOTRACE_BINARY` names the command that plays them; elsewhere that is skipped, as it is without `SONOTRACE_DATA`.
"""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hearts import LA, LV, heart, write
from PIL import Image
from test_following_runtime import Nets, hearts  # noqa: F401

from sonotrace_models.data.hard import HardLoops
from sonotrace_models.data.loops import Loops, make_loops
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack, pack
from sonotrace_models.evaluate.loop_pictures import LoopPicturesConfig, write_loop, write_loop_pictures
from sonotrace_models.evaluate.loops import TEST_SEED, GatedFollower, encoded, mean_of, play

BINARY = "SONOTRACE_BINARY"
INTERVENTIONS_MAX = 0.5
"""Of a loop. On a few loops, one at the threshold counts much; on 45 the difference is below 0.1."""
DICE_MAX = 0.003


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Path, Path]:
    """A pack of hearts, and its loops."""
    pairs = {("CAMUS", "val", f"p{at}", ""): [heart(40, 70), heart(36, 60 + at)] for at in range(2)}
    train = {("CAMUS", "train", "t0", ""): [heart(40, 70), heart(36, 60)]}
    pack([write(tmp_path / "data", {**pairs, **train})], tmp_path / "pack")
    make_loops(Pack(tmp_path / "pack"), tmp_path / "loops")
    return tmp_path / "pack", tmp_path / "loops"


def test_pictures_are_the_loop(packed: tuple[Path, Path], tmp_path: Path) -> None:
    write_loop_pictures(LoopPicturesConfig(*packed, most=1, out=tmp_path / "out"))
    (folder,) = (tmp_path / "out").iterdir()
    loop = Loops(packed[1], Pack(packed[0]), "val").make(0, TEST_SEED)
    assert folder.name == "CAMUS-000-p0"
    for at in range(len(loop.grey)):
        grey, ids = (np.asarray(Image.open(folder / part / f"{at:02}.png")) for part in ("images", "masks"))
        assert np.abs(grey / 255 - loop.grey[at, 0].numpy()).max() <= 0.5 / 255 + 1e-6
        # The muscle is not followed.
        assert set(np.unique(ids)) == {0, LV, LA}
        assert (ids == np.where(np.isin(loop.ids[at], (LV, LA)), loop.ids[at], 0)).all()
    with pytest.raises(DataError, match="exists"):
        write_loop_pictures(LoopPicturesConfig(*packed, most=1, out=tmp_path / "out"))


def test_without_hard_loops_none_are_written(packed: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hard"):
        write_loop_pictures(LoopPicturesConfig(*packed, hard=True, out=tmp_path / "out"))


@torch.no_grad()
def test_the_command_counts_as_this_package(hearts: HardLoops, tmp_path: Path) -> None:  # noqa: F811
    if BINARY not in os.environ:
        assert "SONOTRACE_NO_SKIP" not in os.environ, f"{BINARY} is not set"
        pytest.skip(f"{BINARY} is not set")
    loops, nets = hearts.loops, Nets()
    assert loops is not None
    played = []
    for at in range(len(loops)):
        loop = loops.make(at, TEST_SEED + at)
        # As the pictures have it.
        loop = replace(loop, grey=(loop.grey * 255).round() / 255)
        is_followed = np.isin(loop.ids.numpy(), list(loop.objects.values()))
        write_loop(tmp_path / "data" / str(at), loop.grey, np.where(is_followed, loop.ids, 0).astype(np.uint8))
        follower = GatedFollower(nets.net, nets.tracker, nets.confidence)
        played.append((loop.objects, play(nets.net, follower, loop, encoded(nets.net, loop.grey))))
    command = [os.environ[BINARY], "eval", "cine", str(tmp_path / "data"), "--json", str(tmp_path / "cine.json")]
    subprocess.run(command, check=True)
    seen = json.loads((tmp_path / "cine.json").read_text())
    assert seen["loops"] == len(loops)
    for name, id_ in played[0][0].items():
        results, row = [of_loop[name] for _, of_loop in played], seen["objects"][str(id_)]
        interventions = np.mean([result.interventions for result in results])
        assert abs(row["interventions_per_loop"] - interventions) <= INTERVENTIONS_MAX, name
        assert abs(row["dice_mean"] - np.mean([mean_of(result.dice) for result in results])) <= DICE_MAX, name
