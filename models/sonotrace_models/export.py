"""Stage 5: static ONNX graphs, golden vectors, and the conventions that a session needs to run the programs.

* `encoder`: `image` [1, 1, 256, 256], normalised, to features: `embedding` [1, 256, 16, 16], `f4` [1, 32, 64, 64] and
  `f8` [1, 64, 32, 32].
* `decoder`: the features, `point_coords` [1, 16, 2], `point_labels` [1, 16], `mask_input` [1, 1, 128, 128] and
  `has_mask_input` [1], to `masks` [1, 1, 128, 128], logits, and `iou` [1, 1].
* `tracker`: the features; `known` [1, 6, 11]; for each memory in `MEMORIES`, `MEMORY_key` [1, 256, 128], `MEMORY_value` and
  `MEMORY_identity` [1, 256, 256]; for the anchor, `anchor_f4` and `anchor_f8` in the shapes of the features, and
  `anchor_shares` [1, 11, 128, 128]; and `so_far_flow` and `so_far_step` [1, 2, 64, 64]; to `logits` [1, 11, 128, 128] and
  this frame's `key` [1, 256, 128], `value` [1, 256, 256], `flow` and `step` [1, 2, 64, 64].
* `memory`: `shares` [1, 11, 128, 128] to `identity` [1, 256, 256].

All inputs of the tracker except `known` are persistent state in banks (`STATE`). There are banks of features,
memories, motion and shares. A bank has a slot for each frame that is in use, and the tracker reads several slots of a bank.

Weights are rounded as the model file stores them (`quantize.round_weights`), so that graph and file agree.
"""

import copy
import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sonotrace_models import SIZE
from sonotrace_models.data.manifest import DataError
from sonotrace_models.nets.confidence import Confidence, read_confidence
from sonotrace_models.nets.decoder import PAD, POINT_SLOTS, POSITIVE, Prompt
from sonotrace_models.nets.encoder import Encoder, Features, Textures
from sonotrace_models.nets.evidence import EVIDENCE
from sonotrace_models.nets.gate import FOUND_FROM, HELD_FRAMES, LOST_BELOW
from sonotrace_models.nets.motion import SIDE, Moved
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import IDS, MASK_SIDE, SLOTS, TOKENS, Anchor, Memory, Tracker
from sonotrace_models.nets.tracking import ANCHOR, ANCHOR_DICE, ANCHORED_EVERY, KEPT_EVERY, REFINED_TRUST, SHORT
from sonotrace_models.provenance import KEY, as_text, of_kept
from sonotrace_models.quantize import round_weights
from sonotrace_models.weights import with_weights

OPSET = 17
RELATIVE_RMS_MAX = 1e-4
"""Maximum relative RMS difference between a graph and its network."""
FEATURE_NAMES = ("embedding", "f4", "f8")
PROVENANCE_BYTES_MAX = 16 << 10
"""Of a graph; a model file holds those of all programs in 64 KiB."""
MEMORIES = ("reference", "recent1", "recent2", "recent3", "previous")
"""The tracker's memories: the long-term slots, and the previous frame."""
MEMORY_NAMES = ("key", "value", "identity")
MOTION_NAMES = ("flow", "step")
STATE: dict[str, Any] = {
    "banks": {
        "features": {"tensors": list(FEATURE_NAMES), "per_kept_frame": True},
        "memory": {"tensors": list(MEMORY_NAMES)},
        "motion": {"tensors": list(MOTION_NAMES)},
        "shares": {"tensors": ["shares"]},
    },
    "ports": {f"{memory}_{name}": f"{name}@{memory}" for memory in MEMORIES for name in MEMORY_NAMES}
    | {f"anchor_{name}": f"{name}@anchor" for name in ("f4", "f8", "shares")}
    | {f"so_far_{name}": f"{name}@previous" for name in MOTION_NAMES},
}
"""Banks of persistent state, and the ports that are bound to `TENSOR@SLOT`. A port with the name of a bank's tensor is bound
to the slot `frame`, the frame in work."""


@dataclass
class ExportConfig:
    """Stage 5: ONNX graphs, golden vectors and conventions."""

    student: Path = Path("work/runs/student/best.pt")
    tracker: Path | None = Path("work/runs/tracker/best.pt")
    """None exports no tracker and no memory program."""
    confidence: Path | None = Path("work/runs/confidence.json")
    """None exports no confidence."""
    out: Path = Path("work/export")
    provenance: bool = True
    """Write where the weights come from into the graphs, for `sonotrace inspect`."""


class EncoderGraph(nn.Module):
    """The encoder with its batch normalisation folded in."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder = copy.deepcopy(encoder)
        for at, stage in enumerate(encoder.stem):
            assert isinstance(stage, nn.Sequential)
            conv, norm, activation = stage
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            encoder.stem[at] = nn.Sequential(fuse_conv_bn_eval(conv, norm), activation)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.encoder(image))


class DecoderGraph(nn.Module):
    """The decoder with separate inputs."""

    def __init__(self, net: SonoSamLite) -> None:
        super().__init__()
        self.decoder = net.decoder

    def forward(
        self, embedding: Tensor, f4: Tensor, f8: Tensor, coords: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor
    ) -> tuple[Tensor, ...]:
        return tuple(self.decoder(embedding, f4, f8, Prompt(coords, labels, mask, has_mask)))


class TrackerGraph(nn.Module):
    """The tracking step with separate inputs."""

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self.tracker = tracker

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        embedding, f4, f8, known, *rest = inputs
        parts = len(MEMORIES) * len(MEMORY_NAMES)
        *long, short = (Memory(*rest[at : at + len(MEMORY_NAMES)]) for at in range(0, parts, len(MEMORY_NAMES)))
        anchor_f4, anchor_f8, shares, *so_far = rest[parts:]
        anchor = Anchor(Textures(anchor_f4, anchor_f8), shares, Moved(*so_far))
        step = self.tracker(Features(embedding, f4, f8), long, known, short, anchor)
        return step.logits, step.key, step.value, *step.moved


class MemoryGraph(nn.Module):
    """The memory step."""

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self.tracker = tracker

    def forward(self, shares: Tensor) -> Tensor:
        return self.tracker.identify(shares)


def export(config: ExportConfig) -> None:
    """Writes `NAME.onnx` and `NAME.golden.npz` of each program, and `conventions.json`."""
    student = with_weights(SonoSamLite(), config.student)
    tracker = with_weights(Tracker(), config.tracker) if config.tracker is not None else None
    confidence = read_confidence(config.confidence) if config.confidence is not None else None
    export_nets(student, tracker, confidence, config.out)
    if config.provenance:
        programs = [("encoder", config.student), ("decoder", config.student)]
        if config.tracker is not None:
            programs += [("tracker", config.tracker), ("memory", config.tracker)]
        for name, weights in programs:
            mark(config.out / f"{name}.onnx", of_kept(weights))


def mark(path: Path, record: dict[str, Any]) -> None:
    """Writes a record of provenance into a graph's metadata.

    Raises:
        DataError: the record is longer than a model file may hold.
    """
    text = as_text(record)
    if len(text.encode()) > PROVENANCE_BYTES_MAX:
        raise DataError(f"{path}: its provenance has {len(text.encode())} bytes, the limit is {PROVENANCE_BYTES_MAX}")
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {KEY: text})
    onnx.save(graph, path)


def example_image(encoder: Encoder) -> Tensor:
    """[1, 1, 256, 256]: a synthetic image with the data's grey levels, so that golden vectors hold no patient's image."""
    generator = torch.Generator().manual_seed(7)
    at = torch.linspace(-1, 1, SIZE)
    disc = ((at[None] + 0.1) ** 2 / 0.2 + (at[:, None] - 0.05) ** 2 / 0.1 < 1).float()
    grain = torch.rand(SIZE, SIZE, generator=generator)
    grey = (0.45 - 0.35 * disc) * (0.6 + 0.8 * grain)
    return encoder.normalise(grey[None, None]).half().float()


def export_nets(student: SonoSamLite, tracker: Tracker | None, confidence: Confidence | None, out: Path) -> None:
    """Exports networks."""
    out.mkdir(parents=True, exist_ok=True)
    student.eval()
    image = example_image(student.encoder)
    encoder = round_weights(EncoderGraph(student.encoder)).eval()
    with torch.no_grad():
        features = tuple(part.half().float() for part in encoder(image))
    coords = torch.zeros(1, POINT_SLOTS, 2)
    labels = torch.full((1, POINT_SLOTS), float(PAD))
    coords[0, 0], labels[0, 0] = torch.tensor([110.0, 134.0]), POSITIVE
    side = student.decoder.mask_side
    no_mask = torch.zeros(1, 1, side, side)
    _write(out, "encoder", encoder, {"image": image}, FEATURE_NAMES)
    decoder = round_weights(DecoderGraph(student))
    prompt = {"point_coords": coords, "point_labels": labels, "mask_input": no_mask, "has_mask_input": torch.zeros(1)}
    _write(out, "decoder", decoder, dict(zip(FEATURE_NAMES, features, strict=True)) | prompt, ("masks", "iou"))
    if tracker is not None:
        tracker.eval()
        shares = torch.zeros(1, IDS, MASK_SIDE, MASK_SIDE)
        shares[:, 0] = 1
        shares[:, 0, 50:80, 40:70], shares[:, 1, 50:80, 40:70] = 0, 1
        memory, step = round_weights(MemoryGraph(tracker)), round_weights(TrackerGraph(tracker))
        with torch.no_grad():
            seen = tracker.look(Features(*features))
            kept = [part.half().float() for part in (seen.key, seen.value, memory(shares))]
        inputs = dict(zip(FEATURE_NAMES, features, strict=True))
        known = torch.zeros(1, len(MEMORIES) + 1, IDS)
        known[:, [0, SHORT, ANCHOR]] = 1
        # One recent frame, in which the object was not seen.
        known[:, 1, 0] = 1
        inputs |= {"known": known}
        for memory_name in MEMORIES:
            inputs |= {f"{memory_name}_{name}": part for name, part in zip(MEMORY_NAMES, kept, strict=True)}
        inputs |= {"anchor_f4": features[1].roll(1, 3), "anchor_f8": features[2].roll(1, 3), "anchor_shares": shares}
        inputs |= {f"so_far_{name}": torch.full((1, 2, SIDE, SIDE), 0.5) for name in MOTION_NAMES}
        _write(out, "tracker", step, inputs, ("logits", "key", "value", "flow", "step"))
        _write(out, "memory", memory, {"shares": shares}, ("identity",))
    written = conventions(student.encoder, side, tracker is not None)
    if confidence is not None:
        written["confidence"] = {
            "rule": "1 / (1 + exp(-(bias + sum of weights * evidence))): `right` for a Dice of 0.90 or more, `trusted` for "
            "one of 0.80 or more of an object of which at least half shows, `absent` for an object of which nothing lies in "
            "the field of view; the confidence is that of `right`; masks of less confidence than flagged_below are doubtful",
            "definitions": EVIDENCE,
            **asdict(confidence),
            "gate": {
                "rule": "an object is lost when its `trusted` is below lost_below, and found again from found_from; masks of "
                "lost objects are not learnt from; while one was lost at most held_frames ago, nothing is remembered",
                "lost_below": LOST_BELOW,
                "found_from": FOUND_FROM,
                "held_frames": HELD_FRAMES,
            },
        }
    (out / "conventions.json").write_text(json.dumps(written, indent=1))


def conventions(encoder: Encoder, mask_side: int, has_tracker: bool) -> dict[str, object]:
    """The conventions that a session needs to run the programs. The model file holds a hash of them, texts included."""
    written: dict[str, object] = {
        "input": [1, 1, SIZE, SIZE],
        "mean": encoder.mean.item(),
        "std": encoder.std.item(),
        "formula": "(grey / 255 - mean) / std",
        "letterbox": {
            "rule": "scale = 256 / max(width, height); round(width * scale) by round(height * scale) pixels, bilinear "
            "(antialiased triangle filter when shrinking); at the top left; padded with grey 0",
            "size": SIZE,
        },
        "prompts": {
            "points": POINT_SLOTS,
            "coords": "x, y on the input grid, pixel indices",
            "labels": {"1": "inside", "0": "outside", "2": "box top left", "3": "box bottom right", "-1": "unused"},
            "order": "box corners first if there is a box, then clicks in order; all slots are always given",
            "mask_input": f"[1, 1, {mask_side}, {mask_side}] logits of the answer before, has_mask_input 1; else zeros, 0",
        },
        "outputs": {
            "masks": f"[1, 1, {mask_side}, {mask_side}] logits over the whole square; inside where above 0",
            "iou": "[1, 1]: the decoder's own estimate of the mask's overlap with the truth",
        },
    }
    if has_tracker:
        written["state"] = STATE
        written["tracker"] = {
            "slots": SLOTS,
            "tokens": TOKENS,
            "ids": IDS,
            "memory": "reference, then a ring of recent frames: each that was corrected, and the last of every kept_every "
            "others; previous is "
            "the last frame that was remembered",
            "known": "1 for the ids that a memory knows, in the order of the memories, the anchor last; an empty slot knows "
            "none, not even the background (id 0)",
            "anchor": "its features and its masks' shares as they were remembered: the reference first, then each frame "
            "that was corrected, and one at least anchored_every frames later that is remembered with an object that the "
            "anchor does not know, or whose mask has a Dice below anchor_dice with the anchor's mask, warped by the flow "
            "(both where their shares are above 0.5)",
            "kept_every": KEPT_EVERY,
            "anchored_every": ANCHORED_EVERY,
            "anchor_dice": ANCHOR_DICE,
            "so_far": "flow and step found on the frame before; an anchor's flow is zero, and the reference's step too",
            "odds": "of an id: logit of its softmax over the ids that are tracked",
            "refined": "logit of trust * sigmoid(the decoder's mask, told the odds and their box) + (1 - trust) * "
            "sigmoid(odds)",
            "shares": "softmax of 0, the background's, and the objects' refined odds",
            "trust": REFINED_TRUST,
        }
    return written


def _fix_shapes(path: Path, outputs: tuple[Tensor, ...]) -> None:
    """Writes the outputs' shapes into the graph; the exporter omits some."""
    graph = onnx.load(path)
    for port, value in zip(graph.graph.output, outputs, strict=True):
        for dimension, extent in zip(port.type.tensor_type.shape.dim, value.shape, strict=True):
            dimension.dim_value = extent
    onnx.save(graph, path)


def _write(out: Path, name: str, module: nn.Module, inputs: dict[str, Tensor], outputs: tuple[str, ...]) -> None:
    """Writes one graph, checked against the network, and its golden vectors."""
    path = out / f"{name}.onnx"
    values = tuple(inputs.values())
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter for static graphs warns that it is deprecated, and about shapes that are constant by design.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            values,
            str(path),
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamo=False,
        )
        expected = module(*values)
    expected = expected if isinstance(expected, tuple) else (expected,)
    _fix_shapes(path, expected)
    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    taken = {port.name for port in session.get_inputs()}
    given = session.run(list(outputs), {key: value.numpy() for key, value in inputs.items() if key in taken})
    for output, ours, theirs in zip(outputs, expected, given, strict=True):
        error = float(np.square(ours.numpy() - theirs).mean() ** 0.5 / max(float(ours.square().mean()) ** 0.5, 1e-9))
        if error > RELATIVE_RMS_MAX:
            raise ValueError(f"{path}: output {output} differs from the network by a relative RMS of {error:.1e}")
        print(f"{name:8} {output:10} {tuple(theirs.shape)!s:20} differs by {error:.1e}")
    golden: dict[str, Any] = {f"in_{key}": value.numpy().astype(np.float16) for key, value in inputs.items()}
    golden |= {f"out_{key}": value for key, value in zip(outputs, given, strict=True)}
    np.savez_compressed(out / f"{name}.golden.npz", **golden)
