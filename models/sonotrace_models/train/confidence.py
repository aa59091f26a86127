"""Stage 4: the confidence of a tracked mask, from evidence that is available on a scanner, without the truth.

The segmenter refines each tracked mask. A logistic regression for 'Dice with the truth is at least 0.90' takes the
difference between the two masks, the segmenter's own estimate, the mean probability of the refined mask, jumps in area and
position, and the object's size.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm import tqdm

from sonotrace_models.data.loops import Loops
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.data.sequences import SequenceSource, Shares
from sonotrace_models.evaluate.loops import (
    ACCEPTED_DICE,
    FIRST_CLICKS_MAX,
    OBJECTS,
    TEST_SEED,
    RefinedFollower,
    click_until_good,
    encoded,
    on_grid,
)
from sonotrace_models.evaluate.protocol import Mask, dice
from sonotrace_models.evaluate.segmenters import fastest_device
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import Tracker
from sonotrace_models.nets.tracking import Refined
from sonotrace_models.weights import with_weights

EVIDENCE = {
    "iou": "iou of the decoder's answer, told the tracked mask's logits and its box, 0 to 1",
    "sureness": "mean probability within the refined mask",
    "gap": "sum of |difference of probability| between the tracked mask and that answer, over the root of the area",
    "area_step": "absolute logarithm of the area over that of the frame before, at most 3",
    "area_drift": "absolute logarithm of the area over that in the reference, at most 3",
    "move": "distance of the centroid from that of the frame before over the root of the area, at most 3",
    "size": "logarithm of the area over the mask's whole",
}
"""Inputs of the regression; for an empty mask 0, 0, 0, 3, 3, 3, -10. Sums are over the network's masks of 128 x 128. Chosen
from twelve by cross-validation on loops of the train split. For example, the Dice of the two masks predicts less than their
gap."""


@dataclass
class ConfidenceConfig:
    """Stage 4: the confidence of tracked masks."""

    pack: Path = Path("work/pack")
    loops: Path = Path("work/loops")
    student: Path = Path("work/runs/student/best.pt")
    tracker: Path = Path("work/runs/tracker/best.pt")
    out: Path = Path("work/runs/confidence.json")
    loops_fitted: int = 120
    """Loops of the train split to fit on."""
    sequences_fitted: int = 120
    """Deformed images and recordings of the train split to fit on, 16 frames each."""
    seed: int = 0


@dataclass(frozen=True)
class Confidence:
    """The regression: confidence is the logistic function of `bias + sum(weights * evidence)`."""

    evidence: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float

    def of(self, evidence: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """[frames, evidence] to [frames] in 0 to 1."""
        return 1 / (1 + np.exp(-(evidence @ np.array(self.weights) + self.bias)))


def read_confidence(path: Path) -> Confidence:
    """Reads the file that this stage writes.

    Raises:
        DataError: there is no such file.
    """
    if not path.is_file():
        raise DataError(
            f"{path} does not exist: run `python -m sonotrace_models confidence`, or pass `--confidence None`"
        )
    fitted = json.loads(path.read_text())
    return Confidence(tuple(fitted["evidence"]), tuple(fitted["weights"]), fitted["bias"])


def evidence_of(refined: Refined, number: int, mask: Mask, before: Mask, reference: Mask) -> list[float]:
    """The evidence of a tracked mask, in the order of `EVIDENCE`.

    Args:
        number: the object's number, from 0.
        mask: the object's refined mask on the input grid.
        before: its mask in the previous frame.
        reference: its mask in the reference frame.
    """
    if not mask.any():
        return [0.0, 0.0, 0.0, 3.0, 3.0, 3.0, -10.0]
    probability = refined.odds[0, number + 1].sigmoid()
    inside = probability > 0.5
    cells = max(float(inside.sum()), 1.0)
    gap = (refined.drawn.logits[number].sigmoid() - refined.tracked[number].sigmoid()).abs().sum()
    area, area_before, area_reference = (max(float(part.sum()), 1.0) for part in (mask, before, reference))
    shift = np.linalg.norm(_centroid(mask) - _centroid(before)) if before.any() else area**0.5
    return [
        float(refined.drawn.iou[number]),
        float(probability[inside].mean()) if inside.any() else 0.0,
        float(gap) / cells**0.5,
        min(abs(np.log(area / area_before)), 3.0),
        min(abs(np.log(area / area_reference)), 3.0),
        min(float(shift / area**0.5), 3.0),
        float(np.log(cells / inside.numel())),
    ]


def _centroid(mask: Mask) -> npt.NDArray[np.float64]:
    ys, xs = np.nonzero(mask)
    return np.array([xs.mean(), ys.mean()])


@dataclass
class Seen:
    """Evidence of tracked masks, and their Dice."""

    evidence: list[list[float]]
    dice: list[float]

    @property
    def is_good(self) -> npt.NDArray[np.bool_]:
        """[frames]: Dice of at least 0.90."""
        return np.array(self.dice) >= ACCEPTED_DICE


def watch(
    net: SonoSamLite,
    tracker: Tracker,
    sequences: Iterator[tuple[Tensor, Tensor, Sequence[int]]],
) -> Seen:
    """Tracks the masks that the simulated user makes on the first frame (table 2's protocol), without interventions, so that
    bad masks occur.

    Args:
        sequences: grey levels and ids, [frame, 256, 256] each, and the ids to track.
    """
    seen = Seen([], [])
    for grey, ids, wanted in sequences:
        follower = RefinedFollower(tracker, net)
        frames = encoded(net, grey[:, None])
        truths = [[(ids[at] == id_).cpu().numpy() for id_ in wanted] for at in range(len(grey))]
        start = [click_until_good(net, frames[0], truth, None, FIRST_CLICKS_MAX)[0] for truth in truths[0]]
        follower.start(frames[0], start)
        reference = [on_grid(logits) for logits in start]
        before = list(reference)
        for at in range(1, len(grey)):
            for number, logits in enumerate(follower.advance(frames[at])):
                truth = truths[at][number]
                mask = on_grid(logits)
                if truth.any():
                    evidence = evidence_of(follower.refined, number, mask, before[number], reference[number])
                    seen.evidence.append(evidence)
                    seen.dice.append(dice(mask, truth))
                before[number] = mask
    return seen


def of_loops(loops: Loops, most: int | None, device: torch.device) -> Iterator[tuple[Tensor, Tensor, Sequence[int]]]:
    """Yields loops."""
    for at in tqdm(range(len(loops.patients))[:most], desc="confidence, loops"):
        loop = loops.make(at, TEST_SEED + at).to(device)
        yield loop.grey[:, 0], loop.ids, tuple(OBJECTS.values())


def of_sequences(source: SequenceSource, count: int) -> Iterator[tuple[Tensor, Tensor, Sequence[int]]]:
    """Yields sequences as in training."""
    for _ in tqdm(range(count), desc="confidence, sequences"):
        drawn = source.draw(1, 16)
        ids = drawn.ids[0]
        there = sorted(int(id_) for id_ in ids[0].unique() if id_ > 0 and (ids[0] == id_).sum() >= 40)
        if there:
            yield drawn.grey[0], ids, there


def fit(seen: Seen) -> Confidence:
    """Fits the regression.

    Raises:
        DataError: all masks are good, or none is.
    """
    good = int(seen.is_good.sum())
    if good in (0, len(seen.dice)):
        raise DataError(
            f"{good} of {len(seen.dice)} tracked masks have a Dice of {ACCEPTED_DICE} or more: the regression needs both "
            "kinds (train the tracker longer, or fit on more loops)"
        )
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    model.fit(np.array(seen.evidence), seen.is_good)
    scaler, regression = model[0], model[1]
    weights = regression.coef_[0] / scaler.scale_
    bias = float(regression.intercept_[0] - (weights * scaler.mean_).sum())
    return Confidence(tuple(EVIDENCE), tuple(float(weight) for weight in weights), bias)


def train_confidence(config: ConfidenceConfig) -> None:
    """Runs the stage: fits on the train split, reports on val."""
    pack = Pack(config.pack)
    device = fastest_device()
    net = with_weights(SonoSamLite(), config.student).eval().to(device)
    tracker = with_weights(Tracker(), config.tracker).eval().to(device)
    train = Loops(config.loops, pack, "train")
    generator, numbers = torch.Generator(device).manual_seed(config.seed), np.random.default_rng(config.seed)
    source = SequenceSource(pack, None, generator, numbers, Shares(loops=0))
    seen = watch(net, tracker, of_loops(train, config.loops_fitted, device))
    more = watch(net, tracker, of_sequences(source, config.sequences_fitted))
    confidence = fit(Seen(seen.evidence + more.evidence, seen.dice + more.dice))
    val = watch(net, tracker, of_loops(Loops(config.loops, pack, "val"), None, device))
    found = auroc(confidence, val)
    print(f"AUROC on val for 'Dice below {ACCEPTED_DICE}': {found:.3f} ({(~val.is_good).mean():.1%} of masks are)")
    config.out.parent.mkdir(parents=True, exist_ok=True)
    config.out.write_text(json.dumps({**asdict(confidence), "auroc_val": found}, indent=1))


def auroc(confidence: Confidence, seen: Seen) -> float:
    """Area under the ROC curve for detecting masks below 0.90 Dice; 0.5 if all or none are."""
    is_bad = ~seen.is_good
    if is_bad.all() or not is_bad.any():
        return 0.5
    return float(roc_auc_score(is_bad, -confidence.of(np.array(seen.evidence))))
