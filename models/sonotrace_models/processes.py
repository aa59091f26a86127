"""The same work on many items, in processes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Work(Dataset[Result], Generic[Item, Result]):
    def __init__(self, work: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self.work, self.items = work, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, at: int) -> Result:
        return self.work(self.items[at])


def results_of(work: Callable[[Item], Result], items: Sequence[Item], workers: int = 0) -> Iterator[Result]:
    """Yields `work` of each item, in order: here, or with `workers` in so many processes, on one thread each.

    In processes, `work` must be on the CPU: they are copies of this one, with what it has loaded.
    """
    if workers == 0:
        yield from map(work, items)
        return
    made = DataLoader(
        _Work(work, items),
        batch_size=None,
        # As they are: by default arrays become tensors.
        collate_fn=_unchanged,
        num_workers=workers,
        multiprocessing_context="fork",
    )
    yield from made


def _unchanged(result: Result) -> Result:
    return result
