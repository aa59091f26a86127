"""The report on hard loops: a table and plots by kind, confidence against Dice, and pictures of the worst loops."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from sonotrace_models.data.hard import KINDS, HardLoops, Recipe, read_recipes
from sonotrace_models.data.hard_sheets import strip
from sonotrace_models.data.manifest import DataError
from sonotrace_models.evaluate.hard import HardResult, as_text, hard_table, play_hard
from sonotrace_models.evaluate.loops import GatedFollower
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.processes import results_of
from sonotrace_models.train.confidence import ABSENT_FROM, SEEN_SHARE

mpl.use("Agg")
import matplotlib.pyplot as plt

TEST_LOOPS = Path(__file__).parent / "hard_test_loops.json"
"""The public sets' hard loops of the test split: fixed, with generator and seeds, before anything was trained on such."""
WORST = 5
BAD_DICE = (0.90, 0.70)
MASKS_MIN = 30
"""A kind with fewer bad masks has no AUROC."""
BINS = 10
"""Of the reliability plot."""


def hard_recipes(folder: Path, split: str) -> list[Recipe]:
    """The hard loops of a split.

    Raises:
        DataError: the test split's loops of a public set differ from those that were fixed beforehand.
    """
    found = read_recipes(folder / f"hard_{split}.json")
    if split == "test":
        fixed = read_recipes(TEST_LOOPS)
        for set_name in sorted({recipe.set_name for recipe in fixed} & {recipe.set_name for recipe in found}):
            of_set, fixed_of_set = ([recipe for recipe in of if recipe.set_name == set_name] for of in (found, fixed))
            if of_set != fixed_of_set:
                raise DataError(
                    f"the test loops of {set_name} in {folder} differ from {TEST_LOOPS}, which were fixed beforehand"
                )
    return found


def evaluate_hard(
    net: SonoSamLite, follower: GatedFollower, hard: HardLoops, made: Sequence[Recipe], out: Path, workers: int = 0
) -> list[HardResult]:
    """Plays hard loops, in processes with `workers`. Prints the tables; writes `hard.json`, `hard.png`, `hard_confidence.png`
    and `hard_worst_KIND.png`."""
    confidence = follower.following.confidence
    assert confidence is not None

    def played(recipe: Recipe) -> tuple[list[HardResult], npt.NDArray[np.uint8]]:
        loop = hard.make(recipe)
        patient = f"{recipe.set_name} {hard.pack.items[hard.at[recipe.set_name, recipe.name]].group}"
        of_loop, shown = play_hard(net, follower, loop, recipe, patient)
        return of_loop, strip(loop, shown)

    results: list[HardResult] = []
    worst: dict[str, list[tuple[float, npt.NDArray[np.uint8]]]] = {kind: [] for kind in KINDS}
    found = tqdm(results_of(played, made, workers), "hard loops", len(made), mininterval=5)
    for recipe, (of_loop, picture) in zip(made, found, strict=True):
        results += of_loop
        mean = float(np.nanmean([result.dice for result in of_loop]))
        ranked = sorted([*worst[recipe.kind], (mean, picture)], key=lambda entry: entry[0])
        worst[recipe.kind] = ranked[:WORST]
    table, judged = hard_table(results), confidence_table(results)
    print(f"\n{as_text(table)}\n\n{'AUROC':14} " + " ".join(f"{f'below {bad}':>12}" for bad in BAD_DICE))
    for kind, row in judged.items():
        print(f"{kind:14} " + " ".join(f"{row[str(bad)]:12.3f}" for bad in BAD_DICE))
    flagged = flag_table(results, confidence.flagged_below)
    print(f"\nflagged below a confidence of {confidence.flagged_below:.2f}: " + as_line(flagged))
    out.mkdir(parents=True, exist_ok=True)
    report = {"table": table, "auroc": judged, "flagged": flagged, "objects": [asdict(result) for result in results]}
    (out / "hard.json").write_text(json.dumps(_without_nan(report), indent=1))
    draw_by_frame(results, out / "hard.png")
    draw_confidence(results, out / "hard_confidence.png")
    for kind, ranked in worst.items():
        if ranked:
            cv2.imwrite(str(out / f"hard_worst_{kind}.png"), np.vstack([picture for _, picture in ranked]))
    return results


def flag_table(results: Sequence[HardResult], flagged_below: float) -> dict[str, float]:
    """Shares of masks that are flagged: of those below 0.70 (`wrong`), of those at 0.90 or more (`right`, and by set), where
    at least half of the object shows; and of absent objects from their third absent frame on. And the shares of these, and of
    objects that show, that are said to be absent."""
    found: dict[str, list[bool]] = {}
    for result in results:
        gone_frames = 0
        for dice, shown, confidence, absent in zip(
            result.dice, result.visibility, result.confidence, result.absent, strict=True
        ):
            is_flagged, is_absent = confidence < flagged_below, bool(np.isnan(dice))
            gone_frames = gone_frames + 1 if is_absent else 0
            if is_absent and gone_frames >= ABSENT_FROM:
                found.setdefault("absent", []).append(is_flagged)
                found.setdefault("absent_told", []).append(absent >= 0.5)
            elif not is_absent and shown >= SEEN_SHARE:
                found.setdefault("absent_mistaken", []).append(absent >= 0.5)
                if dice < BAD_DICE[1]:
                    found.setdefault("wrong", []).append(is_flagged)
                elif dice >= BAD_DICE[0]:
                    for name in ("right", f"right_{result.set_name}"):
                        found.setdefault(name, []).append(is_flagged)
    return {name: float(np.mean(flags)) for name, flags in sorted(found.items())}


def as_line(figures: dict[str, float]) -> str:
    """Names and values."""
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


def _without_nan(value: object) -> object:
    """NaN is not JSON: null in its place."""
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def judged_masks(results: Sequence[HardResult]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Dice and confidence of the masks of objects of which at least half shows."""
    dice, shown, confidence = (
        np.concatenate([np.array(getattr(result, name)) for result in results])
        for name in ("dice", "visibility", "confidence")
    )
    is_judged = ~np.isnan(dice) & (shown >= SEEN_SHARE)
    return dice[is_judged], confidence[is_judged]


def confidence_table(results: Sequence[HardResult]) -> dict[str, dict[str, float]]:
    """By kind, and over all: the AUROC for masks below each Dice of `BAD_DICE`; NaN for fewer than `MASKS_MIN` such masks."""
    kinds = {kind: [result for result in results if result.kind == kind] for kind in KINDS}
    table: dict[str, dict[str, float]] = {}
    for kind, of_kind in {**kinds, "all": list(results)}.items():
        if not of_kind:
            continue
        dice, confidence = judged_masks(of_kind)
        row = {}
        for bad in BAD_DICE:
            is_bad = dice < bad
            has_both = is_bad.sum() >= MASKS_MIN and not is_bad.all()
            row[str(bad)] = float(roc_auc_score(is_bad, -confidence)) if has_both else float("nan")
        table[kind] = row
    return table


def draw_by_frame(results: Sequence[HardResult], path: Path) -> None:
    """One panel per kind: Dice by frame, its mean and its lowest tenth, and how much of the objects can be seen."""
    kinds = list(dict.fromkeys(result.kind for result in results))
    columns = min(len(kinds), 5)
    rows = -(-len(kinds) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.4 * columns, 2.6 * rows), squeeze=False, sharey=True)
    for axis, kind in zip(axes.flat, kinds, strict=False):
        of_kind = [result for result in results if result.kind == kind]
        dice = np.array([result.dice for result in of_kind])
        frames = np.arange(1, dice.shape[1] + 1)
        # Frames without any object have no mean.
        has_object = ~np.isnan(dice).all(0)
        mean, low = np.full(len(frames), np.nan), np.full(len(frames), np.nan)
        mean[has_object] = np.nanmean(dice[:, has_object], 0)
        low[has_object] = np.nanquantile(dice[:, has_object], 0.1, axis=0)
        axis.plot(frames, mean, label="Dice, mean")
        axis.plot(frames, low, linewidth=0.8, label="Dice, lowest tenth")
        axis.plot(
            frames, np.mean([result.visibility for result in of_kind], 0), "--", color="grey", label="visible share"
        )
        axis.set_title(f"{kind} ({len(of_kind)} objects)", fontsize=9)
        axis.set_ylim(0, 1.02)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=7)
    axes[0, 0].legend(fontsize=7)
    for axis in list(axes.flat)[len(kinds) :]:
        axis.axis("off")
    figure.supxlabel("frame", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_confidence(results: Sequence[HardResult], path: Path) -> None:
    """Confidence against Dice, and the reliability: the share of masks with a Dice of 0.90 or more, by confidence."""
    dice, confidence = judged_masks(results)
    figure, (points, reliability) = plt.subplots(1, 2, figsize=(9, 4))
    points.plot(confidence, dice, ".", markersize=2, alpha=0.3)
    points.set_xlabel("confidence")
    points.set_ylabel("Dice")
    edges = np.linspace(0, 1, BINS + 1)
    at = np.digitize(confidence, edges[1:-1])
    used = [place for place in range(BINS) if (at == place).any()]
    good = [float((dice[at == place] >= BAD_DICE[0]).mean()) for place in used]
    reliability.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    reliability.plot([float(confidence[at == place].mean()) for place in used], good, marker="o")
    for place, share in zip(used, good, strict=True):
        reliability.annotate(str(int((at == place).sum())), (edges[place] + 0.05, share), fontsize=7)
    reliability.set_xlabel("confidence")
    reliability.set_ylabel(f"share of masks with Dice of {BAD_DICE[0]} or more; numbers: masks")
    for axis in (points, reliability):
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
