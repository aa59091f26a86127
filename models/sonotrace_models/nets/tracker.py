"""The tracker: DeAOT's gated propagation (Yang 2022) on the student's own features.

One identity bank encodes the masks of up to ten objects, so that all are tracked at the cost of one. Appearance and identity
are separate: a visual branch and an identity branch share one attention map. In each frame, the tokens attend to long-term
memories (the reference first, then some recent frames, in a fixed number of slots with a validity each) and to the previous
frame within a window. A feature pyramid over the encoder's strides 16, 8 and 4 draws the masks.

Differences from DeAOT: one encoder for segmenter and tracker; one propagation layer, without attention of the frame to
itself, which took twice the time of motion and gave 0.01 of Dice; masks of stride 2, by sub-pixels; the memory holds
probabilities rather than hard masks. And labels themselves are propagated, in the same way for all ids, so that this need
not be learnt for each id. They are propagated in two ways. By attention: a part of the identity is the shares of the ids in
each quarter of a token, and attention propagates it with the rest. This finds an object again at any distance, but no finer
than tokens. By motion: the masks of an anchor are warped by the tissue's motion since (`motion`). This follows an object by
fractions of a pixel, but errors of the anchor's masks persist. For each pixel, the pyramid computes the weight of one against
the other, the weight of both in the logits, and a logit added to the background.

A frame may be remembered in which some objects were not seen. What it shows in their place says nothing of them. So each
memory has a list of the ids that it knows: an id's labels come from memories that know it, and the background gets what is
left.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonotrace_models import OBJECTS_MAX
from sonotrace_models.nets.encoder import F4_CHANNELS, F8_CHANNELS, GRID, Features, Textures
from sonotrace_models.nets.layers import LayerNorm2d, double, interleave, separate, to_map, to_tokens
from sonotrace_models.nets.motion import HIDDEN4, Motion, Moved, follow

OBJECTS = OBJECTS_MAX
IDS = OBJECTS + 1
"""Id 0 is the background."""
SLOTS = 4
"""Slots of long-term memory; slot 0 holds the reference."""
MEMORIES = SLOTS + 2
"""The slots, the previous frame, and the anchor."""
TOKENS = GRID * GRID
WIDTH = 256
KEY = 128
LABEL_CELLS = 2
"""Cells along a side of a token; each cell has labels."""
LABELS = IDS * LABEL_CELLS**2
"""Channels of the identity that are labels: the last ones."""
OBJECT_LABELS = OBJECTS * LABEL_CELLS**2
"""Labels of objects: the last ones, after the background's."""
WINDOW = 7
"""Reach of the short-term attention, tokens to each side (DeAOT's 15 x 15 window)."""
MASK_SIDE = 128
PYRAMID8, PYRAMID4 = 96, 64
"""Channels of the pyramid at strides 8 and 4."""
LABEL_GAIN_MAX = 16.0
"""Maximum weight of a label in the logits."""
FOLLOWED = 2.0
"""Initial logit of the weight of masks warped by motion against those propagated by attention."""
NEAR_SIGMA = 0.7
"""Initial spread of the short-term attention, tokens."""
KNOWN_MASS_MIN = 1e-3
"""Least share of a token's attention by which labels are divided: below it, no memory that it attends to knows the id."""
NEVER = -1e4
"""Added to the scores of tokens that are masked from attention; representable in f16."""


class Memory(NamedTuple):
    """The memory of a frame."""

    key: Tensor
    """[batch, tokens, 128]"""
    value: Tensor
    """[batch, tokens, 256]: appearance"""
    identity: Tensor
    """[batch, tokens, 256]: identities; the last 44 channels are labels, the shares of each id in each cell"""


class Anchor(NamedTuple):
    """A frame whose masks are warped to later frames, and the motion since."""

    textures: Textures
    shares: Tensor
    """[batch, 11, 128, 128]: of the ids in each pixel"""
    so_far: Moved
    """motion up to the previous frame"""


class Seen(NamedTuple):
    """The part of a frame's computation that does not depend on any memory."""

    tokens: Tensor
    """[batch, 256, 256]"""
    normed: Tensor
    """the same, normalised"""
    key: Tensor
    """[batch, 256, 128]"""
    value: Tensor
    """[batch, 256, 256]"""


class Step(NamedTuple):
    """The tracker's output for a frame."""

    logits: Tensor
    """[batch, 11, 128, 128]: of each id"""
    key: Tensor
    """[batch, 256, 128]: this frame's, for its memory"""
    value: Tensor
    """[batch, 256, 256]"""
    moved: Moved
    """motion since the anchor"""


class GatedPropagation(nn.Module):
    """Combines the attended values of both memories by a gate and depthwise convolutions (DeAOT, equation 4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.local = nn.ModuleList(nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False) for _ in range(2))
        self.out = nn.Linear(width, width)
        nn.init.trunc_normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)

    def forward(self, gate: Tensor, *attended: Tensor) -> Tensor:
        local = [conv(to_map(values * gate, GRID)) for conv, values in zip(self.local, attended, strict=True)]
        return self.out(to_tokens(torch.stack(local).sum(0)))


class Tracker(nn.Module):
    """The tracking step, and the memory step."""

    offsets: Tensor
    outside: Tensor
    is_background: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.bank = nn.Conv2d(IDS, WIDTH, 9, stride=MASK_SIDE // GRID, padding=4)
        self.bank_norm = nn.LayerNorm(WIDTH)
        self.to_identity = nn.Linear(WIDTH, WIDTH - LABELS)
        self.enter = nn.Conv2d(WIDTH, WIDTH, 1)
        self.norm = nn.LayerNorm(WIDTH)
        self.to_key = nn.Linear(WIDTH, KEY)
        self.to_value = nn.Linear(WIDTH, WIDTH)
        self.to_gate = nn.Linear(WIDTH, 2 * WIDTH)
        self.near = nn.Linear(WIDTH, (2 * WINDOW + 1) ** 2)
        self.propagate = GatedPropagation(2 * WIDTH)
        self.leave = nn.LayerNorm(2 * WIDTH)
        self.from16 = nn.Conv2d(2 * WIDTH, PYRAMID8, 1)
        self.from8 = nn.Conv2d(F8_CHANNELS, PYRAMID8, 1)
        self.norm8 = LayerNorm2d(PYRAMID8)
        self.conv8 = nn.Conv2d(PYRAMID8, PYRAMID4, 3, padding=1)
        self.from4 = nn.Conv2d(F4_CHANNELS, PYRAMID4, 1)
        self.norm4 = LayerNorm2d(PYRAMID4)
        self.conv4 = nn.Conv2d(PYRAMID4, 32, 3, padding=1)
        self.from_labels = nn.Conv2d(1, PYRAMID8, 1)
        self.motion = Motion()
        self.from_motion = nn.Conv2d(HIDDEN4, PYRAMID4, 1)
        self.head = nn.Conv2d(32, 3 * 4, 1)
        self.trust_short = nn.Linear(WIDTH, 1)
        self.register_buffer("is_background", torch.eye(IDS)[:1].reshape(1, IDS, 1, 1), persistent=False)
        offsets, outside = _window()
        self.register_buffer("offsets", offsets, persistent=False)
        self.register_buffer("outside", outside, persistent=False)
        nn.init.trunc_normal_(self.near.weight, std=0.02)
        nn.init.zeros_(self.trust_short.weight)
        nn.init.constant_(self.trust_short.bias, 2.0)
        for layer in (self.head, self.from_labels, self.from_motion):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
        with torch.no_grad():
            reach = torch.arange(-WINDOW, WINDOW + 1) / NEAR_SIGMA
            self.near.bias.copy_((-0.5 * (reach[:, None] ** 2 + reach[None] ** 2)).flatten())
            self.head.get_parameter("bias")[-4:] = FOLLOWED

    def identify(self, shares: Tensor) -> Tensor:
        """The memory step: [batch, 11, 128, 128] shares of the ids in each pixel, to a memory's `identity`."""
        learnt = self.to_identity(self.bank_norm(to_tokens(self.bank(shares))))
        cells = F.avg_pool2d(shares, MASK_SIDE // (GRID * LABEL_CELLS))
        return torch.cat([learnt, to_tokens(separate(cells, LABEL_CELLS))], -1)

    def look(self, features: Features) -> Seen:
        """A frame's tokens, and the key and value for its memory."""
        tokens = to_tokens(self.enter(features.embedding))
        normed = self.norm(tokens)
        return Seen(tokens, normed, self.to_key(normed), F.silu(self.to_value(normed)))

    def forward(self, features: Features, long: Sequence[Memory], known: Tensor, short: Memory, anchor: Anchor) -> Step:
        """The tracking step.

        Args:
            features: of the frame.
            long: the four slots' memories, the reference first.
            known: [batch, 6, 11]: 1 for the ids that a memory knows, in the order of `MEMORIES`. A slot that does not know the
                background is empty.
            short: memory of the previous frame.
            anchor: the frame whose masks are warped.
        """
        tokens, normed_frame, key, value = self.look(features)
        gate = F.silu(self.to_gate(normed_frame))
        query = key * KEY**-0.5
        batch = len(tokens)
        known_long, known_short, known_anchor = known.split((SLOTS, 1, 1), 1)
        empty = ((1 - known_long[..., :1]) * NEVER).split(1, 1)
        scores = [query @ slot.key.transpose(1, 2) + never for slot, never in zip(long, empty, strict=True)]
        from_long = attended(torch.cat(scores, -1), long, known_long)
        near = self.near(normed_frame)
        scores = query @ short.key.transpose(1, 2) + near.gather(2, self.offsets.expand(batch, -1, -1)) + self.outside
        from_short = attended(scores, [short], known_short)
        both = F.pad(tokens, (0, WIDTH)) + self.propagate(gate, from_long, from_short)
        trust = self.trust_short(normed_frame).sigmoid() * of_cells(known_short)
        labels = from_long[..., -OBJECT_LABELS:] * (1 - trust) + from_short[..., -OBJECT_LABELS:] * trust
        flow = self.motion(features.textures, anchor.textures, anchor.so_far)
        followed = follow(anchor.shares, double(flow.moved.flow))
        logits = self.draw(self.leave(both), labels, followed, known_anchor, features, flow.hidden)
        return Step(logits, key, value, flow.moved)

    def draw(
        self, tokens: Tensor, labels: Tensor, followed: Tensor, known: Tensor, features: Features, hidden: Tensor
    ) -> Tensor:
        """Feature pyramid: tokens [batch, 256, 512], the objects' labels [batch, 256, 40], warped masks [batch, 11, 128, 128]
        of the ids that are `known`, [batch, 1, 11], the encoder's features and the motion's to logits."""
        carried = interleave(to_map(labels, GRID), LABEL_CELLS)
        background = left_over(carried, 1)
        x = double(self.from16(to_map(tokens, GRID))) + self.from8(features.f8) + self.from_labels(background)
        x = F.gelu(self.conv8(F.gelu(self.norm8(x))))
        x = double(x) + self.from4(features.f4) + self.from_motion(hidden)
        x = F.gelu(self.conv4(F.gelu(self.norm4(x))))
        belief, background, share = interleave(self.head(x), 2).split(1, 1)
        carried = F.interpolate(carried, size=(MASK_SIDE, MASK_SIDE), mode="bilinear", align_corners=False)
        share = share.sigmoid() * known[:, 0, 1:, None, None]
        objects = share * followed[:, 1:] + (1 - share) * carried
        both = torch.cat([left_over(objects, 1), objects], 1)
        return LABEL_GAIN_MAX * belief.sigmoid() * both + background * self.is_background


def of_cells(known: Tensor) -> Tensor:
    """[batch, memory, 11], 1 for the ids that a memory knows, to [batch, memory, 40]: the same for each of an object's
    labels."""
    objects = known[..., 1:, None].expand(*known.shape[:-1], OBJECTS, LABEL_CELLS**2)
    return objects.flatten(-2)


def left_over(objects: Tensor, dim: int) -> Tensor:
    """The background's shares: what the objects leave."""
    return (1 - objects.sum(dim, keepdim=True)).clamp(min=0)


def attended(scores: Tensor, memories: Sequence[Memory], known: Tensor) -> Tensor:
    """[batch, tokens, 512]: values and identities of some memories, weighted by the softmax of their tokens' scores,
    [batch, tokens, memories * 256]. The memories are not concatenated, so each can stay in its slot of a bank.

    An object's labels, the last channels, are the mean over the memories that know it, of `known`, [batch, memory, 11].
    """
    shares = scores.softmax(-1).split(TOKENS, -1)
    value, identity = shares[0] @ memories[0].value, shares[0] @ memories[0].identity
    knows = of_cells(known).split(1, 1)
    labels, mass = identity[..., -OBJECT_LABELS:] * knows[0], shares[0].sum(-1, keepdim=True) * knows[0]
    for share, memory, its in zip(shares[1:], memories[1:], knows[1:], strict=True):
        more = share @ memory.identity
        value, identity = value + share @ memory.value, identity + more
        labels, mass = labels + more[..., -OBJECT_LABELS:] * its, mass + share.sum(-1, keepdim=True) * its
    labels = labels / mass.clamp(min=KNOWN_MASS_MIN)
    background = left_over(labels.unflatten(-1, (OBJECTS, LABEL_CELLS**2)), -2).squeeze(-2)
    return torch.cat([value, identity[..., :-LABELS], background, labels], -1)


def _window() -> tuple[Tensor, Tensor]:
    """For each pair of tokens, the index of their offset in the window, and the term that masks offsets outside it."""
    at = torch.arange(TOKENS)
    dy = at[None] // GRID - at[:, None] // GRID
    dx = at[None] % GRID - at[:, None] % GRID
    is_outside = (dy.abs() > WINDOW) | (dx.abs() > WINDOW)
    side = 2 * WINDOW + 1
    offsets = (dy + WINDOW).clamp(0, side - 1) * side + (dx + WINDOW).clamp(0, side - 1)
    return offsets[None], torch.where(is_outside, NEVER, 0.0)[None]
