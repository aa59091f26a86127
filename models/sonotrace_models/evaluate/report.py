"""Evaluation of networks on a split, with tables and plots."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
import torch

from sonotrace_models.data.embeddings import Embeddings
from sonotrace_models.data.follow import CAMUS
from sonotrace_models.data.hard import HardLoops
from sonotrace_models.data.loops import Loops
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.evaluate.boundaries import distances
from sonotrace_models.evaluate.clicks import CLICKS_MAX, REPORTED_CLICKS, ClickResults, evaluate_clicks
from sonotrace_models.evaluate.hard_report import evaluate_hard, hard_recipes
from sonotrace_models.evaluate.intervals import interval
from sonotrace_models.evaluate.loops import (
    ACCEPTED_DICE,
    Follower,
    GatedFollower,
    ObjectResult,
    Played,
    RefinedFollower,
    RepromptFollower,
    TrackerFollower,
    mean_of,
    means,
    play_loops,
)
from sonotrace_models.evaluate.segmenters import LiteMedSam, Segmenter, Student, fastest_device, trained_teacher
from sonotrace_models.nets.confidence import read_confidence
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import OBJECTS, Tracker
from sonotrace_models.quantize import round_weights, simulate_int8
from sonotrace_models.train.confidence import auroc
from sonotrace_models.weights import file_digest, with_weights

mpl.use("Agg")
import matplotlib.pyplot as plt

BOUNDARIES_AT = (0, 1, 3, 10)
"""Numbers of clicks at which boundaries are measured; 0 is the box."""
TEST_PATIENTS = Path(__file__).parent / "loops_test_patients.json"
"""The patients of CAMUS's test loops: fixed, with generator and seeds, before any tracker was trained."""
PAPER_TABLE_2 = {
    "LV": {"interventions": 1.9, "drop_before": 0.017, "clicks": 1.0},
    "LA": {"interventions": 1.4, "drop_before": 0.018, "clicks": 1.0},
}
"""The paper's four-chamber columns."""
PAPER_CAVEAT = (
    "real cines of 30 subjects, which are not public, so its rows cannot be compared directly with these; its clicks "
    "'per loop' are fewer than its interventions, although each intervention takes at least one"
)


CONFIDENCE_OF = ("alone_dice", "alone_confidence")
"""Where a loop's masks without interventions have their Dice and confidence."""


@dataclass
class ClicksConfig:
    """Dice by number of clicks, per set: the paper's figure 7."""

    pack: Path = Path("work/pack")
    students: list[Path] = field(default_factory=lambda: [Path("work/runs/student/best.pt")])
    """Weights of one or more students (of an ablation, for example). Results have the names of their runs or files."""
    teacher: Path | None = None
    """SonoSAM's weights."""
    embeddings: Path = Path("work/embeddings")
    int8: bool = False
    """Also the students in simulated int8."""
    litemedsam: bool = False
    """Also LiteMedSAM as published, which was trained with boxes only."""
    split: Literal["train", "val", "test"] = "val"
    sets: list[str] | None = None
    most_per_set: int | None = None
    """Maximum number of objects of each set, spread evenly."""
    out: Path = Path("work/evaluation/clicks")
    """Results go into its folder `SPLIT`."""
    overwrite: bool = False
    """Replace results of other networks or other objects there."""


@dataclass
class CineConfig:
    """Interventions on loops, by object: the paper's table 2."""

    pack: Path = Path("work/pack")
    loops: Path = Path("work/loops")
    student: Path = Path("work/runs/student/best.pt")
    tracker: Path = Path("work/runs/tracker/best.pt")
    confidence: Path | None = Path("work/runs/confidence.json")
    """None skips its AUROC."""
    int8: bool = False
    """Both networks in simulated int8."""
    split: Literal["train", "val", "test"] = "val"
    most: int | None = None
    """Maximum number of loops, of all sets in turn; of hard loops, an even choice of so many."""
    checks_a_frame: int = OBJECTS
    """Objects that the segmenter checks on each frame, in turn."""
    turns: int = 0
    """Objects take turns as if there were at least so many."""
    correct_lost: bool = False
    """Lost objects are drawn by the segmenter alone."""
    hard: bool = False
    """Hard loops (`loops --hard`) in the place of ordinary ones, without corrections."""
    workers: int = 0
    """Processes on the CPU that play loops; 0 plays one after the other, on a GPU if there is one. The result is the same."""
    out: Path = Path("work/evaluation/cine")
    """Results go into its folder `SPLIT`."""


class LoopDice(NamedTuple):
    """An object's mean Dice in a loop."""

    patient: str
    dice: float


@dataclass
class Evaluated:
    """One network's results and tables."""

    results: ClickResults
    table: dict[str, dict[str, float]]
    boundaries: dict[str, dict[str, float]] = field(default_factory=dict)


def evaluate_segmenters(config: ClicksConfig) -> dict[str, Evaluated]:
    """Evaluates the given networks. Prints tables and each network's gain over the first; writes `SPLIT/clicks.json` and
    `SPLIT/clicks.png`.

    Raises:
        DataError: an option names what does not exist, or the folder has results of other networks or objects.
    """
    pack = Pack(config.pack)
    objects = chosen_objects(pack, config)
    out = config.out / config.split
    judged = judged_by(config, objects)
    if not config.overwrite:
        refuse_other_results(out / "clicks.json", judged)
    segmenters: dict[str, Segmenter] = {}
    if config.litemedsam:
        segmenters["LiteMedSAM"] = LiteMedSam(Embeddings(config.embeddings, pack))
    if config.teacher:
        segmenters["SonoSAM"] = trained_teacher(config.teacher, config.embeddings, pack)
    for path in config.students:
        student = with_weights(SonoSamLite(), path).eval().to(fastest_device())
        name = "SonoSAMLite" if len(config.students) == 1 else _name_of(path)
        if name in segmenters:
            raise DataError(f"{path}: there are two networks named {name}; runs need folders with different names")
        segmenters[name] = Student(student, pack)
        if config.int8:
            segmenters[f"{name} int8"] = Student(simulate_int8(round_weights(student)), pack)
    truths = np.stack([np.asarray(pack.masks[index] == id_) for index, id_ in objects])
    evaluated: dict[str, Evaluated] = {}
    for name, segmenter in segmenters.items():
        results = evaluate_clicks(segmenter, pack, objects, keep_masks_at=BOUNDARIES_AT)
        table = results.table()
        evaluated[name] = Evaluated(results, table, boundary_table(results, truths))
        print(f"\n{name}, {config.split}, n = {len(objects)}\n{as_text(table, evaluated[name].boundaries)}")
        first_name, first = next(iter(evaluated.items()))
        if name != first_name:
            gains = results.gain_over(first.results).items()
            print(
                f"gain over {first_name} (n = {len(objects)}): "
                + ", ".join(f"{key} {gain:+.4f} ± {error:.4f}" for key, (gain, error) in gains)
            )
    out.mkdir(parents=True, exist_ok=True)
    networks = {
        name: {
            "sets": of.table,
            "boundaries": of.boundaries,
            "by_click": {key: values.tolist() for key, values in curves(of.results).items()},
        }
        for name, of in evaluated.items()
    }
    (out / "clicks.json").write_text(json.dumps({"judged": judged, "networks": networks}, indent=1))
    draw_clicks({name: of.results for name, of in evaluated.items()}, out / "clicks.png", config.split)
    return evaluated


def judged_by(config: ClicksConfig, objects: list[tuple[int, int]]) -> dict[str, Any]:
    """What results are of: networks by the content of their files, and objects."""
    files = {str(path): file_digest(path) for path in [*config.students, *([config.teacher] if config.teacher else [])]}
    return {
        "split": config.split,
        "objects": len(objects),
        "sets": config.sets,
        "most_per_set": config.most_per_set,
        "int8": config.int8,
        "litemedsam": config.litemedsam,
        "sha256": files,
    }


def refuse_other_results(path: Path, judged: dict[str, Any]) -> None:
    """Refuses to replace results of other networks or objects: nothing in a table would tell that it is another one.

    Raises:
        DataError: with what differs.
    """
    if not path.is_file():
        return
    before = json.loads(path.read_text()).get("judged", {})
    differing = [key for key, value in judged.items() if before.get(key) != value]
    if differing:
        raise DataError(
            f"{path} holds results of another evaluation, with different {', '.join(differing)}: give another --out, or "
            "--overwrite"
        )


def chosen_objects(pack: Pack, config: ClicksConfig) -> list[tuple[int, int]]:
    """The objects to evaluate: image index and object id.

    Raises:
        DataError: a set does not exist or has no object in the split, or `most_per_set` is not positive.
    """
    pack.require(config.sets)
    if config.most_per_set is not None and config.most_per_set < 1:
        raise DataError(f"--most-per-set is {config.most_per_set}, it must be at least 1")
    objects: list[tuple[int, int]] = []
    # A set that is named twice counts once.
    for name in dict.fromkeys(config.sets or pack.set_names):
        found = pack.objects(config.split, [name])
        if config.sets and not found:
            raise DataError(f"the set {name} has no object in the {config.split} split")
        count = min(config.most_per_set or len(found), len(found))
        objects += [found[at * len(found) // count] for at in range(count)]
    if not objects:
        raise DataError(f"{config.pack} has no object in the {config.split} split")
    return objects


def _name_of(weights: Path) -> str:
    """The name of the run; for 8-bit weights, that of the file."""
    return weights.parent.name if weights.suffix == ".pt" else weights.stem


def curves(results: ClickResults) -> dict[str, Any]:
    """Per set: mean Dice after each click."""
    names = np.array(results.set_names)
    return {name: results.by_click[names == name].mean(0) for name in sorted(set(results.set_names))}


def boundary_table(results: ClickResults, truths: Any) -> dict[str, dict[str, float]]:
    """Per set and number of clicks: `hd95_N` and `mean_N`, pixels; N is `box` for the box."""
    names = np.array(results.set_names)
    rows: dict[str, dict[str, float]] = {name: {} for name in sorted(set(results.set_names))}
    for clicks, masks in results.masks.items():
        found = distances(masks, truths)
        for name, row in rows.items():
            at = names == name
            row[f"hd95_{clicks or 'box'}"] = float(found.hd95_px[at].mean())
            row[f"mean_{clicks or 'box'}"] = float(found.mean_px[at].mean())
    return rows


def as_text(table: dict[str, dict[str, float]], boundaries: dict[str, dict[str, float]]) -> str:
    """Both tables, one line per set."""
    keys = [*(str(clicks) for clicks in REPORTED_CLICKS), "box", "unexpected", "affected"]
    extra = ["hd95_3", "mean_3", "hd95_10", "mean_10"] if boundaries else []
    lines = [f"{'set':9} {'n':>4} " + " ".join(f"{key:>10}" for key in [*keys, *extra])]
    for name, row in table.items():
        values = [f"{row[key]:10.4f}" for key in keys]
        values += [f"{boundaries[name][key]:10.2f}" for key in extra if name in boundaries]
        lines.append(f"{name:9} {row.get('objects', 0):4.0f} " + " ".join(values))
    return "\n".join(lines)


def dice_limits(evaluated: dict[str, ClickResults]) -> tuple[float, float]:
    """Limits of a Dice axis on which every curve and every box's line is whole, the same for all sets."""
    lowest = 1.0
    for results in evaluated.values():
        names = np.array(results.set_names)
        for name in set(results.set_names):
            means = results.by_click[names == name].mean(0)
            boxes = [] if results.with_box is None else [results.with_box[names == name].mean()]
            lowest = min(lowest, float(means.min()), *map(float, boxes))
    # Down to the next twentieth, with a margin for the line's width.
    return max(0.0, np.floor((lowest - 0.01) * 20) / 20) - 0.01, 1.01


def draw_clicks(evaluated: dict[str, ClickResults], path: Path, split: str) -> None:
    """One panel per set: Dice by number of clicks, one line per network; the box as a dashed line."""
    sets = sorted({name for results in evaluated.values() for name in results.set_names})
    columns = 4
    rows = -(-len(sets) // columns)
    limits = dice_limits(evaluated)
    figure, axes = plt.subplots(rows, columns, figsize=(3.4 * columns, 2.8 * rows), squeeze=False)
    for axis, set_name in zip(axes.flat, sets, strict=False):
        counts = set()
        for at, (name, results) in enumerate(evaluated.items()):
            of_set = np.array(results.set_names) == set_name
            counts.add(int(of_set.sum()))
            colour = f"C{at}"
            clicks = range(1, CLICKS_MAX + 1)
            axis.plot(clicks, results.by_click[of_set].mean(0), marker=".", color=colour, label=name)
            if results.with_box is not None:
                axis.axhline(results.with_box[of_set].mean(), color=colour, linestyle="--", linewidth=0.8)
        axis.set_title(f"{set_name}, n = {', '.join(map(str, sorted(counts)))}", fontsize=9)
        axis.set_xlim(0.5, CLICKS_MAX + 0.5)
        axis.set_ylim(*limits)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=7)
    axes[0, 0].legend(fontsize=7)
    for axis in list(axes.flat)[len(sets) :]:
        axis.axis("off")
    total = max(len(results.objects) for results in evaluated.values())
    figure.supxlabel(f"clicks (dashed: with the true box); {split} split, n = {total} objects", fontsize=9)
    figure.supylabel("Dice", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def evaluate_cine(config: CineConfig) -> None:
    """Plays loops with the tracker and with re-prompting; prints a table with a row for each object's name, and set
    where there are several; writes `SPLIT/cine.json`, `cine.png` and `frames.png`.

    Raises:
        DataError: there are no loops, or those of a public set's test split differ from those that were fixed beforehand.
    """
    pack = Pack(config.pack)
    out = config.out / config.split
    confidence = read_confidence(config.confidence) if config.confidence is not None else None
    device = fastest_device() if config.workers == 0 else torch.device("cpu")
    student = with_weights(SonoSamLite(), config.student).eval().to(device)
    tracker = with_weights(Tracker(), config.tracker).eval().to(device)
    if config.int8:
        student, tracker = simulate_int8(round_weights(student)), simulate_int8(round_weights(tracker))
    followers: dict[str, Follower] = {
        "tracker": TrackerFollower(tracker),
        "refined": RefinedFollower(tracker, student),
        "re-prompting": RepromptFollower(student),
    }
    if confidence is not None:
        gated = GatedFollower(student, tracker, confidence, config.checks_a_frame, config.turns, config.correct_lost)
        followers = {"gated": gated, **followers}
    loops = Loops(config.loops, pack, config.split)
    if config.hard:
        if confidence is None:
            raise DataError("`cine --hard` needs `--confidence`: its table judges confidence, too")
        made = hard_recipes(config.loops, config.split)
        if not made:
            raise DataError(
                f"{config.loops} has no hard loops of the {config.split} split: they need two patients of a set"
            )
        every = -(-len(made) // (config.most or len(made)))
        evaluate_hard(student, gated, HardLoops(pack, loops), made[::every], out, config.workers)
        return
    of_camus = [source.patient for source in loops.sources if source.set_name == CAMUS]
    if config.split == "test" and of_camus and of_camus != test_patients():
        raise DataError(f"the test patients in {config.loops} differ from {TEST_PATIENTS}, which were fixed beforehand")
    played = play_loops(student, followers, loops, config.most, config.workers)
    tables = {name: {of: _row(results) for of, results in found.items()} for name, found in played.items()}
    shown = {**tables, "the paper, 4ch": PAPER_TABLE_2} if of_camus else tables
    keys = list(dict.fromkeys(key for of in tables.values() for row in of.values() for key in row))
    width = max(len(object_name) for of in shown.values() for object_name in of) + 1
    print(f"\n{'':17}{'':{width}}" + "".join(f"{key:>15}" for key in keys))
    for name, of in shown.items():
        for object_name, row in of.items():
            cells = "".join(f"{row[key]:15.3f}" if key in row else f"{'-':>15}" for key in keys)
            print(f"{name:16} {object_name:{width}}{cells}")
    report: dict[str, Any] = {**tables}
    if of_camus:
        print(f"(the paper: {PAPER_CAVEAT})")
        report["paper"] = {**PAPER_TABLE_2, "caveat": PAPER_CAVEAT}
    if confidence is not None:
        alone = [result for results in played["gated"].values() for result in results]
        dice_, of_masks = (np.concatenate([getattr(result, name) for result in alone]) for name in CONFIDENCE_OF)
        is_there = ~np.isnan(dice_)
        dice_, of_masks = dice_[is_there], of_masks[is_there]
        is_bad = dice_ < ACCEPTED_DICE
        report["auroc"] = auroc(is_bad, -of_masks)
        flagged = (of_masks < confidence.flagged_below)[~is_bad]
        report["flagged_right"] = float(flagged.mean()) if len(flagged) else 0.0
        print(
            f"\nconfidence: AUROC {report['auroc']:.3f}; {is_bad.mean():.1%} of {len(dice_)} masks are below 0.90; "
            f"{report['flagged_right']:.1%} of the others are flagged"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / "cine.json").write_text(json.dumps(report, indent=1))
    draw_cine(tables, out / "cine.png")
    draw_frames(played, out / "frames.png")


def _row(results: Sequence[ObjectResult]) -> dict[str, float]:
    """The columns of a row, and the interval of Dice by patients."""
    row = means(results)
    if "dice" in row:
        loops = [LoopDice(result.patient, mean_of(result.dice)) for result in results]
        row["dice_low"], row["dice_high"] = interval(lambda drawn: mean_of([loop.dice for loop in drawn]), loops)
    return row


def test_patients() -> list[str]:
    """Names of the patients of CAMUS's test loops."""
    return [str(name) for name in json.loads(TEST_PATIENTS.read_text())]


def draw_cine(tables: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """Bars: interventions, clicks per loop and Dice, for each follower and object."""
    labels = list(next(iter(tables.values())))
    shown = ("interventions", "clicks", "dice", "dice_systole")
    figure, axes = plt.subplots(1, len(shown), figsize=(max(3.0, 0.9 * len(labels)) * len(shown), 2.8))
    for axis, key in zip(axes, shown, strict=True):
        width = 0.8 / len(tables)
        for at, (name, of) in enumerate(tables.items()):
            places = np.arange(len(labels)) + at * width
            axis.bar(places, [of[label].get(key, float("nan")) for label in labels], width, label=name)
        axis.set_xticks(np.arange(len(labels)) + width * (len(tables) - 1) / 2, labels)
        axis.set_title(key, fontsize=9)
        if key.startswith("dice"):
            values = [row[key] for of in tables.values() for row in of.values() if key in row]
            axis.set_ylim(max(0.0, min(values, default=0.0) - 0.1), 1)
        axis.tick_params(labelsize=8)
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_frames(played: Played, path: Path) -> None:
    """Plots by frame of the loop: mean Dice before interventions, share of loops with an intervention, and area over the true
    one without interventions."""
    objects = list(next(iter(played.values())))
    figure, axes = plt.subplots(
        3, len(objects), figsize=(4.5 * len(objects), 6.5), sharex="col", sharey="row", squeeze=False
    )
    for column, of in enumerate(objects):
        middle = next(iter(played.values()))[of][0].middle
        for name, found in played.items():
            dice, areas = (
                np.array([*zip_longest(*(getattr(result, key) for result in found[of]), fillvalue=np.nan)])
                for key in ("dice", "alone_area")
            )
            # Loops end at different frames, and objects leave: frames without any have no mean.
            is_there = ~np.isnan(dice)
            frames, (dice, areas) = np.flatnonzero(is_there.any(1)), (part[is_there.any(1)] for part in (dice, areas))
            axes[0, column].plot(frames + 1, np.nanmean(dice, 1), marker=".", label=name)
            below = (dice < ACCEPTED_DICE).sum(1) / (~np.isnan(dice)).sum(1)
            axes[1, column].plot(frames + 1, below, marker=".")
            axes[2, column].plot(frames + 1, np.nanmean(areas, 1), marker=".")
        axes[0, column].axhline(ACCEPTED_DICE, color="grey", linewidth=0.8)
        axes[0, column].set_title(of, fontsize=9)
        axes[2, column].axhline(1, color="grey", linewidth=0.8)
        axes[2, column].set_xlabel("frame" if middle is None else f"frame (the pair's second: {middle})", fontsize=8)
    axes[0, 0].set_ylabel("Dice", fontsize=8)
    axes[1, 0].set_ylabel("share of loops with an intervention", fontsize=8)
    axes[2, 0].set_ylabel("area over the true one, no interventions", fontsize=8)
    axes[0, 0].legend(fontsize=7)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
