"""Intervals of figures, by patients: several loops or objects of one patient are not independent."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

DRAWS = 1000
"""Of the bootstrap."""


class OfPatient(Protocol):
    """A result that belongs to a patient."""

    @property
    def patient(self) -> str:
        """Whose result it is."""


Result = TypeVar("Result", bound=OfPatient)


def interval(figure: Callable[[Sequence[Result]], float], results: Sequence[Result]) -> tuple[float, float]:
    """95 % interval of a figure, by drawing patients with replacement."""
    by_patient: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_patient[result.patient].append(result)
    groups = list(by_patient.values())
    numbers = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        chosen = [result for at in numbers.integers(len(groups), size=len(groups)) for result in groups[at]]
        drawn.append(figure(chosen))
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return float(low), float(high)
