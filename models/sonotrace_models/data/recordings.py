"""Recordings of a pack: the images of one set, patient and sequence that have frame numbers, in order."""

from dataclasses import dataclass

from sonotrace_models.data.pack import Pack


@dataclass(frozen=True)
class Recording:
    """A pair of frames, or a cine."""

    set_name: str
    group: str
    """The patient."""
    sequence: str
    """The view, or the number of the recording; empty if the patient has one only."""
    frames: tuple[int, ...]
    """Images in the pack, in order."""


def recordings(pack: Pack, split: str) -> list[Recording]:
    """Recordings of a split in which an image has an object, sorted by set, patient and sequence."""
    found: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for index, item in enumerate(pack.items):
        if item.split == split and item.frame >= 0:
            found.setdefault((item.set_name, item.group, item.sequence), []).append((item.frame, index))
    made = [Recording(*key, tuple(index for _, index in sorted(frames))) for key, frames in sorted(found.items())]
    return [
        recording
        for recording in made
        if len(recording.frames) > 1 and any(pack.items[index].object_ids for index in recording.frames)
    ]
