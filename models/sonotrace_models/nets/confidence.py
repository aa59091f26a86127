"""Confidence: how likely a tracked mask is right, and how likely its object is absent, from evidence.

Two logistic regressions. `right` is for a Dice of at least 0.90 with the truth; where the object is absent no mask is right.
`absent` is for an object of which nothing lies in the field of view.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Confidence:
    """Both regressions."""

    evidence: tuple[str, ...]
    """Names, in the order of the weights."""
    right: Regression
    absent: Regression
    flagged_below: float
    """A mask of less confidence is shown as doubtful."""

    def columns(self, evidence: dict[str, Tensor]) -> Tensor:
        """The evidence as [..., evidence]."""
        return torch.stack([evidence[name].float() for name in self.evidence], -1)

    def of(self, evidence: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Of each object: the probability that its mask is right, and that it is absent."""
        columns = self.columns(evidence)
        return self.right.of(columns), self.absent.of(columns)


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
    if "right" not in fitted:
        raise DataError(f"{path} is of an older kind: run `python -m sonotrace_models confidence` again")
    right, absent = (Regression(tuple(fitted[name]["weights"]), fitted[name]["bias"]) for name in ("right", "absent"))
    return Confidence(tuple(fitted["evidence"]), right, absent, fitted["flagged_below"])
