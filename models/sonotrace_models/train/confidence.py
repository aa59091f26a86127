"""Stage 4: confidence, learnt where tracking fails: on hard loops, ordinary loops and deformed images of the train split.

Half of the sequences are followed with the gate of the truth, with one that mistakes masks, and with none, so that masks
drift. The other half are followed with the gate of the confidence that the first half taught, as in use: what goes wrong there
is what that gate let through. The segmenter checks on each frame or in turn, so that evidence ages. Confidence is judged where
at least half of the object shows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm import tqdm

from sonotrace_models import provenance
from sonotrace_models.data.hard import HardLoops, Recipe, read_recipes
from sonotrace_models.data.loops import Loops
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.data.sequences import SequenceSource, Shares
from sonotrace_models.evaluate.loops import (
    ACCEPTED_DICE,
    FIRST_CLICKS_MAX,
    TEST_SEED,
    click_until_good,
    encoded,
    objects_of,
    odds_with,
    on_grid,
    present_of,
)
from sonotrace_models.evaluate.protocol import dice
from sonotrace_models.evaluate.segmenters import fastest_device
from sonotrace_models.nets.confidence import Confidence, Regression, write_confidence
from sonotrace_models.nets.evidence import EVIDENCE
from sonotrace_models.nets.following import Following
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import IDS, OBJECTS, Tracker
from sonotrace_models.processes import results_of
from sonotrace_models.weights import with_weights

SEEN_SHARE = 0.5
"""Confidence is judged where at least this share of the object shows."""
VISIBLE_PX = 40
"""An object of fewer true pixels is absent."""
BAD_DICE = 0.70
"""Masks below are wrong: they must be flagged."""
FLAGGED_RIGHT_SHARE = 0.02
"""Share of right masks, of val, that are flagged. There are many of these, so it gives a steadier threshold than a share of
the wrong ones; wrong masks and those of absent objects have less confidence than nearly all of them."""
ABSENT_FROM = 3
"""Absent objects must be flagged from this absent frame on."""
TRUSTED_DICE = 0.80
"""Masks from this Dice on may be learnt from, while enough of the object shows."""
GATE_MISTAKES = 0.1
"""Share of masks that the second gate mistakes."""


@dataclass
class ConfidenceConfig:
    """Stage 4: the confidence of tracked masks."""

    pack: Path = Path("work/pack")
    loops: Path = Path("work/loops")
    student: Path = Path("work/runs/student/best.pt")
    tracker: Path = Path("work/runs/tracker/best.pt")
    out: Path = Path("work/runs/confidence.json")
    hard_fitted: int = 360
    """Hard loops of the train split to fit on."""
    hard_judged: int = 120
    """Hard loops of val, on which the threshold is chosen."""
    loops_fitted: int = 30
    """Loops of the train split to fit on, of all sets in turn."""
    sequences_fitted: int = 60
    """Deformed images and recordings of the train split to fit on, 16 frames each."""
    workers: int = 0
    """Processes on the CPU that follow sequences; 0 follows them one after the other, on a GPU if there is one. The result is
    the same."""
    seed: int = 0


class Watched(NamedTuple):
    """A sequence with truth."""

    grey: Tensor
    """[frame, 1, 256, 256]"""
    masks: Tensor
    """[frame, object, 256, 256] bool"""
    visibility: Tensor
    """[frame, object]"""


def may_be_learnt(dice: npt.NDArray[np.float64], visibility: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether masks are good enough to be learnt from: a Dice of at least 0.80 (NaN where the object is absent), and half of
    the object shows."""
    return (dice >= TRUSTED_DICE) & (visibility >= SEEN_SHARE)


class Seen(NamedTuple):
    """Masks that were followed."""

    evidence: npt.NDArray[np.float64]
    """[mask, evidence]"""
    dice: npt.NDArray[np.float64]
    """[mask]; NaN where the object is absent"""
    visibility: npt.NDArray[np.float64]
    """[mask]"""
    absent_frames: npt.NDArray[np.float64]
    """[mask]: how long the object has been absent"""

    @property
    def is_absent(self) -> npt.NDArray[np.bool_]:
        """[mask]"""
        return np.isnan(self.dice)

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """[mask]: Dice of at least 0.90."""
        return self.dice >= ACCEPTED_DICE

    @property
    def is_judged(self) -> npt.NDArray[np.bool_]:
        """[mask]: confidence is judged."""
        return ~self.is_absent & (self.visibility >= SEEN_SHARE)

    @property
    def is_trusted(self) -> npt.NDArray[np.bool_]:
        """[mask]"""
        return may_be_learnt(self.dice, self.visibility)

    @property
    def is_wrong(self) -> npt.NDArray[np.bool_]:
        """[mask]: Dice below 0.70, and half of the object shows."""
        return self.is_judged & (self.dice < BAD_DICE)

    @property
    def is_long_absent(self) -> npt.NDArray[np.bool_]:
        """[mask]: absent for the third frame at least."""
        return self.absent_frames >= ABSENT_FROM


Source = Callable[[], Watched | None]
"""Makes a sequence; none if it has no object."""
Row = tuple[list[float], float, float, float]
"""A mask, with the columns of `Seen`."""


def watch(
    net: SonoSamLite,
    tracker: Tracker,
    sources: Sequence[Source],
    seed: int = 0,
    confidence: Confidence | None = None,
    in_turn_share: float = 0.5,
    workers: int = 0,
) -> Seen:
    """Follows the masks that the simulated user makes on the first frame, without interventions: with the gate of a
    `confidence`, or with three others; in a share of the sequences, the segmenter checks the objects in turn.

    Raises:
        DataError: there is no sequence.
    """

    def masks_of(numbered: tuple[int, Source]) -> list[Row]:
        at, make = numbered
        sequence = make()
        if sequence is None:
            return []
        return _followed(net, tracker, sequence, at, np.random.default_rng([seed, at]), confidence, in_turn_share)

    found = results_of(masks_of, list(enumerate(sources)), workers)
    rows = [row for of_one in tqdm(found, "confidence", len(sources), mininterval=5) for row in of_one]
    if not rows:
        raise DataError("there is no sequence to learn confidence from: make loops, or choose more of them")
    return Seen(*(np.array(column) for column in zip(*rows, strict=True)))


@torch.no_grad()
def _followed(
    net: SonoSamLite,
    tracker: Tracker,
    sequence: Watched,
    at: int,
    numbers: np.random.Generator,
    confidence: Confidence | None,
    in_turn_share: float,
) -> list[Row]:
    """The masks of sequence number `at`."""
    rows: list[Row] = []
    device = net.encoder.device
    count = sequence.masks.shape[1]
    frames = encoded(net, sequence.grey.to(device))
    truths = sequence.masks.numpy()
    first = [click_until_good(net, frames[0].features, truth, None, FIRST_CLICKS_MAX)[0] for truth in truths[0]]
    in_turn = bool(numbers.random() < in_turn_share)
    following = Following(net, tracker, None, 1 if in_turn else OBJECTS, int(numbers.integers(1, OBJECTS + 1)))
    following.start(frames[0].features, frames[0].grey, odds_with(first), present := present_of(first))
    absent_frames = [0.0] * count
    for frame, truth, shown in zip(frames[1:], truths[1:], sequence.visibility[1:].tolist(), strict=True):
        found = following.find(frame.features, frame.grey)
        evidence = torch.stack([found.evidence[name] for name in EVIDENCE], -1)[0, 1 : count + 1].tolist()
        trusted = torch.zeros(1, IDS, dtype=torch.bool, device=device)
        for number, logits in enumerate(objects_of(found.odds, present)):
            is_there = truth[number].sum() >= VISIBLE_PX
            overlap = dice(on_grid(logits), truth[number]) if is_there else float("nan")
            is_good = bool(may_be_learnt(np.array(overlap), np.array(shown[number])))
            is_mistaken = at % 3 == 1 and numbers.random() < GATE_MISTAKES
            trusted[0, number + 1] = at % 3 == 2 or is_good != is_mistaken
            absent_frames[number] = 0 if is_there else absent_frames[number] + 1
            rows.append((evidence[number], overlap, shown[number], absent_frames[number]))
        if confidence is not None:
            trusted = following.gate.judge(confidence.of(found.evidence).trusted)
        following.remember(trusted)
    return rows


def of_hard_loop(hard: HardLoops, recipe: Recipe) -> Watched:
    """A hard loop."""
    loop = hard.make(recipe)
    numbers = torch.arange(1, loop.visibility.shape[1] + 1)
    return Watched(loop.grey, loop.ids[:, None] == numbers[:, None, None], loop.visibility)


def of_loop(loops: Loops, at: int) -> Watched:
    """A loop."""
    loop = loops.make(at, TEST_SEED + loops.sources[at].number)
    masks = torch.stack([loop.ids == id_ for id_ in loop.objects.values()], 1)
    return Watched(loop.grey, masks, torch.ones(masks.shape[:2]))


def of_sequence(pack: Pack, seed: int) -> Watched | None:
    """A deformed image or a recording, as in training."""
    generator, numbers = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    # Part of the augmentation draws from PyTorch's own generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = SequenceSource(pack, None, generator, numbers, Shares(loops=0)).draw(1, 16)
    ids = drawn.ids[0]
    there = [id_ for id_ in range(1, IDS) if (ids[0] == id_).sum() >= VISIBLE_PX]
    if not there:
        return None
    masks = torch.stack([ids == id_ for id_ in there], 1)
    return Watched(drawn.grey[0][:, None], masks, torch.ones(masks.shape[:2]))


def fit(seen: Seen) -> Confidence:
    """Fits the regressions.

    Raises:
        DataError: all masks are right, or none is.
    """
    right = int(seen.is_right.sum())
    if right in (0, len(seen.dice)):
        raise DataError(
            f"{right} of {len(seen.dice)} tracked masks have a Dice of {ACCEPTED_DICE} or more: the regression needs both "
            "kinds (train the tracker longer, or fit on more loops)"
        )
    right_, trusted, absent = (
        _regression(seen.evidence, is_so) for is_so in (seen.is_right, seen.is_trusted, seen.is_absent)
    )
    return Confidence(tuple(EVIDENCE), right_, trusted, absent, flagged_below=0.5)


def with_threshold(confidence: Confidence, seen: Seen) -> Confidence:
    """The same with the threshold at which a few of the right masks that were seen are flagged."""
    of_masks = confidence.right.of(torch.from_numpy(seen.evidence)).numpy()
    is_right = seen.is_judged & seen.is_right
    if not is_right.any():
        return confidence
    return replace(confidence, flagged_below=float(np.quantile(of_masks[is_right], FLAGGED_RIGHT_SHARE)))


def _regression(evidence: npt.NDArray[np.float64], is_so: npt.NDArray[np.bool_]) -> Regression:
    """A logistic regression; one that is never so, if nothing is."""
    if not is_so.any():
        return Regression((0.0,) * evidence.shape[1], -20.0)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=3000))
    model.fit(evidence, is_so)
    scaler, regression = model[0], model[1]
    weights = regression.coef_[0] / scaler.scale_
    bias = float(regression.intercept_[0] - (weights * scaler.mean_).sum())
    return Regression(tuple(float(weight) for weight in weights), bias)


def figures_of(confidence: Confidence, seen: Seen) -> dict[str, float]:
    """How good the confidence is: `auroc_0.9` and `auroc_0.7` for masks below, 0.5 if all or none are; the shares that are
    flagged of wrong, of right and of absent ones; and the AUROC of masks to be trusted and of absent objects."""
    evidence = torch.from_numpy(seen.evidence)
    regressions = (confidence.right, confidence.trusted, confidence.absent)
    right, trusted, absent = (regression.of(evidence).numpy() for regression in regressions)
    judged, is_flagged = seen.is_judged, right < confidence.flagged_below
    dice_, right_ = seen.dice[judged], right[judged]
    kinds = {"wrong": seen.is_wrong, "right": judged & seen.is_right, "absent": seen.is_long_absent}
    return {
        "masks": float(judged.sum()),
        "auroc_0.9": auroc(dice_ < ACCEPTED_DICE, -right_),
        "auroc_0.7": auroc(dice_ < BAD_DICE, -right_),
        "auroc_trusted": auroc(seen.is_trusted, trusted),
        "auroc_absent": auroc(seen.is_absent, absent),
        **{f"flagged_{name}": float(is_flagged[which].mean()) for name, which in kinds.items() if which.any()},
    }


def auroc(is_so: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]) -> float:
    """Area under the ROC curve; 0.5 if all or none are so."""
    return 0.5 if is_so.all() or not is_so.any() else float(roc_auc_score(is_so, score))


def spread(recipes: list[Recipe], most: int) -> list[Recipe]:
    """At most so many, at equal distances in the list, so of all kinds and sets."""
    return [recipes[at] for at in np.linspace(0, len(recipes) - 1, min(most, len(recipes))).round().astype(int)]


def train_confidence(config: ConfidenceConfig) -> None:
    """Runs the stage: fits on the train split, chooses the threshold and reports on val."""
    pack = Pack(config.pack)
    device = fastest_device() if config.workers == 0 else torch.device("cpu")
    net = with_weights(SonoSamLite(), config.student).eval().to(device)
    tracker = with_weights(Tracker(), config.tracker).eval().to(device)
    train, val = (Loops(config.loops, pack, split) for split in ("train", "val"))
    hard = HardLoops(pack, train)
    recipes = spread(read_recipes(config.loops / "hard_train.json"), config.hard_fitted)
    sources: list[Source] = [
        *(partial(of_hard_loop, hard, recipe) for recipe in recipes),
        *(partial(of_loop, train, at) for at in train.some(config.loops_fitted)),
        *(partial(of_sequence, pack, config.seed + number) for number in range(config.sequences_fitted)),
    ]
    by_truth = watch(net, tracker, sources[::2], config.seed, workers=config.workers)
    in_use = watch(net, tracker, sources[1::2], config.seed, fit(by_truth), workers=config.workers)
    confidence = fit(Seen(*(np.concatenate(parts) for parts in zip(by_truth, in_use, strict=True))))
    hard = HardLoops(pack, val)
    recipes = spread(read_recipes(config.loops / "hard_val.json"), config.hard_judged)
    sources = [partial(of_hard_loop, hard, recipe) for recipe in recipes]
    judged = watch(net, tracker, sources, config.seed, confidence, 0.0, config.workers)
    confidence = with_threshold(confidence, judged)
    figures = figures_of(confidence, judged)
    print("on hard loops of val: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    write_confidence(confidence, figures, provenance.of_stage(config), config.out)
