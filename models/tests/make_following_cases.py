"""Writes `following_cases.json`: what the reference remembers, learns from and sees, for the runtime to do the same.

`python models/tests/make_following_cases.py`, after a change of the reference. Python (`test_following_cases.py`) and Rust
(`tests/tests/following.rs`) are held to the same numbers. Rust makes the inputs itself: from `noise`, which both compute
exactly, and from discs.
"""

import json
import random
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sonotrace_models.nets.confidence import Confidence, Regression
from sonotrace_models.nets.encoder import GRID, Features
from sonotrace_models.nets.evidence import EVIDENCE, Looks, evidence_of, looks_of
from sonotrace_models.nets.following import AGE_MAX
from sonotrace_models.nets.gate import FOUND_FROM, HELD_FRAMES, LOST_BELOW, Gate
from sonotrace_models.nets.motion import Moved
from sonotrace_models.nets.tracker import IDS, KEY, MASK_SIDE, NEVER, SLOTS, WIDTH, Anchor, Seen, Step, Tracker
from sonotrace_models.nets.tracking import (
    ANCHOR,
    ANCHOR_DICE,
    ANCHORED_EVERY,
    KEPT_EVERY,
    REFINED_TRUST,
    SHORT,
    SURE,
    Tracking,
    odds_of,
    shares_from,
)

PATH = Path(__file__).parent / "following_cases.json"
STEPS = 160
SIDE = 32
"""Of the masks by which the memory's anchors are judged."""


def noise(seed: int, count: int) -> npt.NDArray[np.float32]:
    """Values in [-0.5, 0.5) that any language computes with the same bits."""
    with np.errstate(over="ignore"):
        x: npt.NDArray[Any] = (np.arange(count, dtype=np.uint32) + np.uint32(seed * 1_000_003)) * np.uint32(0x9E3779B1)
        x = (x ^ (x >> 15)) * np.uint32(0x85EBCA77)
        x ^= x >> 13
    return ((x >> 8).astype(np.float32) / np.float32(1 << 24)) - np.float32(0.5)


def disc(x: float, y: float, radius: float, side: int = MASK_SIDE) -> npt.NDArray[np.float32]:
    """Odds of a disc with a soft edge: radius minus distance, in pixels."""
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    return np.float32(radius) - np.sqrt((columns - np.float32(x)) ** 2 + (rows - np.float32(y)) ** 2)


class Counting:
    """A tracker whose outputs tell which frame they are of."""

    def __init__(self) -> None:
        self.frame = 0

    def look(self, _: Features) -> Seen:
        of_frame = torch.full((1, 1, 1), float(self.frame))
        return Seen(of_frame, of_frame, of_frame, of_frame)

    def identify(self, _: Tensor) -> Tensor:
        return torch.full((1, 1, 1), float(self.frame))

    def __call__(self, features: Features, *_: object) -> Step:
        of_frame = self.look(features).key
        flow = torch.full((1, 2, SIDE // 2, SIDE // 2), 1e-6)
        moved = Moved(flow, torch.full_like(flow, float(self.frame)))
        return Step(torch.zeros(1, IDS, SIDE, SIDE), of_frame, of_frame, moved)


def squares(places: list[int]) -> Tensor:
    """[1, 11, 32, 32]: shares of objects whose squares of 8 pixels begin at these columns, with a soft edge."""
    shares = torch.zeros(1, IDS, SIDE, SIDE)
    for number, left in enumerate(places):
        shares[0, number + 1, 8 * number : 8 * number + 8, left : left + 8] = 1
        shares[0, number + 1, 8 * number : 8 * number + 8, left + 8] = 0.4
    shares[0, 0] = 1 - shares[0, 1:].sum(0)
    return shares


def listed(known: Tensor) -> list[int]:
    """The places of the objects that a memory knows, of two."""
    return [place for place in range(2) if known[place + 1] > 0]


def memory_cases() -> list[dict[str, Any]]:
    """Frames with two objects: which masks are trusted, where the objects are, which frames the user corrects, and what is
    remembered afterwards, by the numbers of the frames."""
    chance = random.Random(1)
    tracker = Counting()
    tracking = Tracking(cast(Tracker, tracker), 1, torch.device("cpu"))
    places = [4, 12]
    frame_of = Features(*(torch.zeros(1, 1, 1, 1) for _ in range(3)))
    tracking.refer(frame_of, squares(places))
    tracking.present = torch.zeros(1, IDS)
    tracking.present[:, :3] = 1
    written = []
    for frame in range(1, STEPS + 1):
        tracker.frame = frame
        features = Features(*(torch.full((1, 1, 1, 1), float(frame)) for _ in range(3)))
        places = [(at + chance.choice([0, 0, 0, 1, 9])) % 24 for at in places]
        trusted = [place for place in range(2) if chance.random() < 0.8]
        is_corrected = chance.random() < 0.15
        objects = torch.zeros(1, IDS, dtype=torch.bool)
        for place in trusted:
            objects[0, place + 1] = True
        tracking.find(features)
        tracking.remember(squares(places), objects)
        if is_corrected:
            tracking.correct(features, squares(places), objects)
        known = tracking._known[0]
        slots = [
            [int(slot.key.flatten()[0]), listed(known[at])]
            for at, slot in enumerate(tracking._slots[:SLOTS])
            if known[at, 0] > 0
        ]
        anchor: Anchor = tracking._anchor
        written.append(
            {
                "squares": places,
                "trusted": trusted,
                "is_corrected": is_corrected,
                "slots": slots,
                "previous": [int(tracking._short.key.flatten()[0]), listed(known[SHORT])],
                "anchor": [int(anchor.textures.f4.flatten()[0]), listed(known[ANCHOR])],
                "so_far": int(anchor.so_far.step.flatten()[0]),
                "flow_is_zero": bool((anchor.so_far.flow == 0).all()),
            }
        )
    return written


PLACES = 6
"""Objects of `reference_cases`."""


def places_of(known: Tensor) -> list[int]:
    """The places of objects that are set, [11]."""
    return [place for place in range(PLACES) if known[place + 1] > 0]


def ids_of(places: list[int]) -> Tensor:
    """[1, 11] bool"""
    ids = torch.zeros(1, IDS, dtype=torch.bool)
    for place in places:
        ids[0, place + 1] = True
    return ids


def reference_cases() -> list[dict[str, Any]]:
    """Frames on which the user draws objects, new ones or others again, on the last frame or on the one two before it, removes
    some, and corrects others: whether there was room for a reference, and what is remembered afterwards, by the numbers of the
    frames."""
    chance = random.Random(3)
    tracker = Counting()
    tracking = Tracking(cast(Tracker, tracker), 1, torch.device("cpu"))
    shares = torch.zeros(1, IDS, SIDE, SIDE)
    for place in range(PLACES):
        shares[0, place + 1, :, 5 * place : 5 * place + 4] = 1
    shares[0, 0] = 1 - shares[0, 1:].sum(0)
    tracking.refer(Features(*(torch.zeros(1, 1, 1, 1) for _ in range(3))), shares)
    tracking.present = torch.zeros(1, IDS)
    tracking.present[:, :2] = 1
    written = []
    for frame in range(1, 2 * STEPS + 1):
        features = [Features(*(torch.full((1, 1, 1, 1), float(of)) for _ in range(3))) for of in (frame, frame - 2)]
        tracker.frame = frame
        followed = places_of(tracking.present[0])
        trusted = [place for place in followed if chance.random() < 0.8]
        tracking.find(features[0])
        tracking.remember(shares, ids_of(trusted))
        act = chance.choice(["", "", "", "", "correct", "draw", "draw", "earlier", "remove"])
        place = chance.randrange(PLACES)
        found = sorted({*(at for at in followed if chance.random() < 0.7), place})
        act = "" if act in ("correct", "remove") and (place not in followed or len(followed) < 2) else act
        act = "" if act == "earlier" and frame < 3 else act
        room = -1
        if act == "draw":
            room = tracking.room_to_correct(0, ids_of(found)[0])
        elif act == "earlier":
            room = tracking.room_for(0, ids_of([place])[0])
        if act in ("draw", "earlier") and room >= 0:
            tracking.present[0, place + 1] = 1
        if act == "correct":
            tracking.correct(features[0], shares, ids_of(found))
        elif act == "draw" and room >= 0:
            tracking.correct(features[0], shares, ids_of(found), ids_of([place]))
        elif act == "earlier" and room >= 0:
            tracker.frame = frame - 2
            tracking.insert(features[1], shares, ids_of([place]))
        elif act == "remove":
            tracking.remove(ids_of([place]))
        known, referred = tracking._known[0] * tracking.present, tracking._referred()[0]
        slots = [
            [int(slot.key.flatten()[0]), places_of(known[at]), places_of(referred[at])]
            for at, slot in enumerate(tracking._slots[:SLOTS])
            if known[at, 0] > 0
        ]
        anchor: Anchor = tracking._anchor
        written.append(
            {
                "trusted": trusted,
                "act": act,
                "place": place,
                "found": found,
                "room": room,
                "slots": slots,
                "previous": [int(tracking._short.key.flatten()[0]), places_of(known[SHORT])],
                "anchor": [int(anchor.textures.f4.flatten()[0]), places_of(known[ANCHOR])],
            }
        )
    return written


def gate_cases() -> list[dict[str, Any]]:
    """Frames with three objects: their probabilities, which one the user corrects before, and the gate's answers."""
    chance = random.Random(2)
    present = torch.zeros(1, IDS)
    present[:, :4] = 1
    gate = Gate(present)
    written = []
    level = [0.9, 0.9, 0.9]
    for _ in range(STEPS):
        level = [min(max(p + chance.uniform(-0.2, 0.21), 0.05), 0.98) for p in level]
        level = [round(p, 3) for p in level]
        corrected = chance.randrange(3) if chance.random() < 0.05 else None
        if corrected is not None:
            objects = torch.zeros(1, IDS, dtype=torch.bool)
            objects[0, corrected + 1] = True
            gate.find(objects)
        trusted = torch.zeros(1, IDS)
        trusted[0, 1:4] = torch.tensor(level)
        learnt = gate.judge(trusted)
        written.append(
            {
                "trusted": level,
                "corrected": corrected,
                "found": [place for place in range(3) if gate.is_found[0, place + 1]],
                "learnt": [place for place in range(3) if learnt[0, place + 1]],
            }
        )
    return written


FRAMES = {"reference": (64.0, 64.0, 22.0), "before": (58.0, 52.0, 20.5), "now": (60.0, 50.0, 19.0)}
"""Frames, and the first object's disc on each; the second object is a disc of 6 pixels that is missing in `now`."""


def odds_of_frame(name: str) -> Tensor:
    """[1, 11, 128, 128]"""
    odds = np.full((1, IDS, MASK_SIDE, MASK_SIDE), -8, np.float32)
    odds[0, 1] = disc(*FRAMES[name])
    odds[0, 2] = disc(100, 30, 6) if name != "now" else -3
    return torch.from_numpy(odds)


def looks_of_frame(name: str) -> Looks:
    """How objects look in a frame of noise."""
    seed = 1 + list(FRAMES).index(name)
    embedding = (noise(0, WIDTH * GRID * GRID) + noise(seed, WIDTH * GRID * GRID)).reshape(1, WIDTH, GRID, GRID)
    key = (noise(10, KEY * GRID * GRID) + noise(10 + seed, KEY * GRID * GRID)).reshape(1, GRID * GRID, KEY)
    grey = (noise(20 + seed, 4 * MASK_SIDE**2) + np.float32(0.5)) * np.float32(0.25 * seed)
    features = Features(torch.from_numpy(embedding), torch.zeros(1), torch.zeros(1))
    iou = torch.zeros(1, IDS)
    iou[0, 1], iou[0, 2] = 1 - 0.125 * seed, 0.5 if name != "now" else 0
    side = 2 * MASK_SIDE
    return looks_of(
        features, torch.from_numpy(key), torch.from_numpy(grey.reshape(1, 1, side, side)), odds_of_frame(name), iou
    )


def evidence_case() -> dict[str, Any]:
    """The evidence of two objects, and what regressions with weights of noise make of it."""
    reference, before, now = (looks_of_frame(name) for name in FRAMES)
    odds = odds_of_frame("now")
    tracked, drawn = odds + 0.75, odds - 0.5
    drawn[0, 2] = tracked[0, 2]
    evidence = evidence_of(now, before, reference, odds, tracked, drawn)
    evidence["age"] = torch.full((1, IDS), 3.0).clamp(max=AGE_MAX)
    right, trusted, absent = (
        Regression(tuple(noise(30 + at, len(EVIDENCE)).tolist()), float(noise(40 + at, 1)[0])) for at in range(3)
    )
    judged = Confidence(tuple(EVIDENCE), right, trusted, absent, flagged_below=0.5).of(evidence)
    return {
        "evidence": {name: [round(evidence[name][0, id_].item(), 7) for id_ in (1, 2)] for name in EVIDENCE},
        "judged": {name: [round(p[0, id_].item(), 7) for id_ in (1, 2)] for name, p in judged._asdict().items()},
    }


PIXELS = 6


def pixels_case() -> dict[str, Any]:
    """Logits of noise at some pixels, with three objects that are followed: the odds, the odds of the first object once the
    segmenter's answer is mixed in, and the shares after that. By id, the background first."""
    logits = 24 * noise(50, IDS * PIXELS).reshape(1, IDS, 1, PIXELS)
    logits[0, 4:] += np.float32(NEVER)
    odds = odds_of(torch.from_numpy(logits))
    drawn = torch.from_numpy(30 * noise(51, PIXELS).reshape(1, 1, PIXELS))
    mixed = odds.clone()
    mixed[:, 1] = (REFINED_TRUST * drawn.sigmoid() + (1 - REFINED_TRUST) * odds[:, 1].sigmoid()).logit(SURE)
    shares = shares_from(mixed)
    return {
        "odds": [[round(x, 5) for x in row] for row in odds[0, :4, 0].tolist()],
        "mixed": [round(x, 5) for x in mixed[0, 1, 0].tolist()],
        "shares": [[round(x, 7) for x in row] for row in shares[0, :4, 0].tolist()],
    }


def cases() -> dict[str, Any]:
    """All of them, and the constants that they are made with."""
    return {
        "rules": {
            "kept_every": KEPT_EVERY,
            "anchored_every": ANCHORED_EVERY,
            "anchor_dice": ANCHOR_DICE,
            "lost_below": LOST_BELOW,
            "found_from": FOUND_FROM,
            "held_frames": HELD_FRAMES,
            "trust": REFINED_TRUST,
        },
        "memory": memory_cases(),
        "references": reference_cases(),
        "gate": gate_cases(),
        "seen": evidence_case(),
        "pixels": pixels_case(),
    }


if __name__ == "__main__":
    made = cases()
    lines = {name: ",\n".join(json.dumps(case) for case in made.pop(name)) for name in ("memory", "references", "gate")}
    rest = json.dumps(made, indent=1)[1:-2]
    PATH.write_text("{" + rest + "".join(f',\n "{name}": [\n{text}\n ]' for name, text in lines.items()) + "\n}\n")
