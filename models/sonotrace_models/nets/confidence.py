"""Confidence: how likely a tracked mask is right, may be learnt from, or is of an absent object, from evidence.

Three logistic regressions. `right` is for a Dice of at least 0.90 with the truth; where the object is absent no mask is right.
`trusted` is for a mask that the tracker may learn from: a Dice of at least 0.80, while at least half of the object shows. A
small nerve is seldom right, but nearly always to be trusted. `absent` is for an object of which nothing lies in the field of
view.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sonotrace_models.data.manifest import DataError


@dataclass(frozen=True)
class Regression:
    """The logistic function of `bias + sum(weights * evidence)`."""

    weights: tuple[float, ...]
    bias: float

    def of(self, evidence: Tensor) -> Tensor:
        """[..., evidence] to [...] in 0 to 1."""
        return (
            evidence @ torch.tensor(self.weights, dtype=evidence.dtype, device=evidence.device) + self.bias
        ).sigmoid()


class Judged(NamedTuple):
    """Probabilities of objects' masks, [...] each."""

    right: Tensor
    trusted: Tensor
    absent: Tensor


@dataclass(frozen=True)
class Confidence:
    """The regressions."""

    evidence: tuple[str, ...]
    """Names, in the order of the weights."""
    right: Regression
    trusted: Regression
    absent: Regression
    flagged_below: float
    """A mask of less confidence is shown as doubtful."""

    def columns(self, evidence: dict[str, Tensor]) -> Tensor:
        """The evidence as [..., evidence]."""
        return torch.stack([evidence[name].float() for name in self.evidence], -1)

    def of(self, evidence: dict[str, Tensor]) -> Judged:
        """Of each object: the probabilities of its mask."""
        columns = self.columns(evidence)
        return Judged(self.right.of(columns), self.trusted.of(columns), self.absent.of(columns))


def write_confidence(confidence: Confidence, figures: dict[str, float], record: dict[str, Any], path: Path) -> None:
    """Writes the regressions, figures that tell how good they are, and the record of where they come from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**asdict(confidence), "figures": figures, "provenance": record}, indent=1))


def read_confidence(path: Path) -> Confidence:
    """Reads a file that `write_confidence` wrote.

    Raises:
        DataError: there is no such file, or it is of an older kind.
    """
    if not path.is_file():
        raise DataError(
            f"{path} does not exist: run `python -m sonotrace_models confidence`, or pass `--confidence None`"
        )
    fitted = json.loads(path.read_text())
    if any(name not in fitted for name in Judged._fields):
        raise DataError(f"{path} is of an older kind: run `python -m sonotrace_models confidence` again")
    right, trusted, absent = (
        Regression(tuple(fitted[name]["weights"]), fitted[name]["bias"]) for name in ("right", "trusted", "absent")
    )
    return Confidence(tuple(fitted["evidence"]), right, trusted, absent, fitted["flagged_below"])
