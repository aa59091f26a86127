"""SAM's prompt encoder and mask decoder (Kirillov 2023), with additions that make masks follow the clicks closely.

*Dense prompts.* SAM passes a click to the decoder as a token only, and the previous mask as a coarse embedding. Here
clicks, box and previous mask are also drawn as maps (RITM, Sofiiuk 2021: clicks as discs), which enter at strides 4, 8 and
16 of the input; this replaces SAM's mask downscaling.

*Fine masks.* Encoder features of stride 4 and 8, if the decoder has skips, enter the upscaling, and the mask token predicts
the sub-pixels of a stride-4 cell, so that masks have stride 2 at no cost.

*One mask.* For a single click, SAM computes three candidates and selects the one with the highest predicted IoU. In data
where a click has one meaning, the best candidate overlaps with the truth by 0.92, but the selected one by 0.897. SAM's single
mask, which was trained on single clicks with a third of their weight, overlaps by 0.902. So only that mask is computed.

*Kept logits.* A map gives, for each pixel, how much of the previous logits is added to the new ones, so that a correction in
one place leaves other places unchanged.

All additions start at zero: with the public LiteMedSAM weights (`load_litemedsam`) and grid 64 the decoder is LiteMedSAM's.
"""

import math
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonotrace_models import SIZE
from sonotrace_models.nets.encoder import F4_CHANNELS, F8_CHANNELS
from sonotrace_models.nets.layers import (
    LayerNorm2d,
    Mlp,
    attend,
    interleave,
    join_heads,
    split_heads,
    to_map,
    to_tokens,
)

WIDTH = 256
POINT_SLOTS = 16
"""Points of a prompt. All slots are always given; unused ones are labelled `PAD`."""
MASK_TOKENS = 4
"""The first produces the mask. The others, SAM's candidates, only take part in the attention, which was trained with them."""
NEGATIVE, POSITIVE, BOX_FROM, BOX_TO, PAD = 0, 1, 2, 3, -1
"""Labels of points: clicks outside and inside the object, top left and bottom right corner of a box, unused."""
CLICK_SIGMA_PX = 6.0
"""Standard deviation of a click on its map, input pixels."""
KEPT_LOGIT_MAX = 8.0
"""Previous logits are clamped to this magnitude; otherwise they would grow from click to click."""
BOX_EDGE_PX = 2.0
"""Softness of the box's edge on its map, input pixels."""


class Prompt(NamedTuple):
    """A prompt for an image."""

    coords: Tensor
    """[batch, 16, 2]: x and y on the input grid (pixel indices); box corners first, then clicks in order"""
    labels: Tensor
    """[batch, 16]: `POSITIVE`, `NEGATIVE`, `BOX_FROM`, `BOX_TO` or `PAD`, as floats"""
    mask: Tensor
    """[batch, 1, side, side]: logits of the previous mask, zeros if there is none"""
    has_mask: Tensor
    """[batch]: 1 if there is a previous mask"""


class Answer(NamedTuple):
    """The mask for a prompt."""

    mask: Tensor
    """[batch, 1, side, side] logits"""
    iou: Tensor
    """[batch, 1]: the decoder's own estimate of the mask's overlap with the truth"""


class Attention(nn.Module):
    """Multi-head attention with an inner width (SAM's)."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, width)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (
            split_heads(project(x), self.heads) for project, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))
        )
        return self.out_proj(join_heads(attend(q, k, v)))


class SamMlp(nn.Module):
    """Two linear layers, named as in SAM's weights."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, inner)
        self.lin2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.relu(self.lin1(x)))


class TwoWayBlock(nn.Module):
    """Tokens attend to themselves and to the image, then the image to the tokens."""

    def __init__(self, *, is_first: bool) -> None:
        super().__init__()
        self.is_first = is_first
        self.self_attn = Attention(WIDTH, 8, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH)
        self.cross_attn_token_to_image = Attention(WIDTH, 8, WIDTH // 2)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = SamMlp(WIDTH, 2048)
        self.norm3 = nn.LayerNorm(WIDTH)
        self.norm4 = nn.LayerNorm(WIDTH)
        self.cross_attn_image_to_token = Attention(WIDTH, 8, WIDTH // 2)

    def forward(self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        if self.is_first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            query = tokens + token_pe
            tokens = tokens + self.self_attn(query, query, tokens)
        tokens = self.norm1(tokens)
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pe, image + image_pe, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(image + image_pe, tokens + token_pe, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """SAM's decoder transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([TwoWayBlock(is_first=True), TwoWayBlock(is_first=False)])
        self.final_attn_token_to_image = Attention(WIDTH, 8, WIDTH // 2)
        self.norm_final_attn = nn.LayerNorm(WIDTH)

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe)
        attended = self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + attended), image


def _zero(*modules: nn.Module) -> None:
    for module in modules:
        for parameter in module.parameters():
            nn.init.zeros_(parameter)


class DensePrompt(nn.Module):
    """Clicks, box and previous mask, drawn as maps and encoded at strides 4, 8 and 16 of `grid`'s cells."""

    def __init__(self, grid: int, subpixels: int) -> None:
        super().__init__()
        self.grid = grid
        self.subpixels = subpixels
        mask_channels = 8 if subpixels > 1 else 1
        if subpixels > 1:
            self.mask_conv = nn.Conv2d(1, mask_channels, subpixels, subpixels)
        self.fine = nn.Sequential(nn.Conv2d(mask_channels + 3, F4_CHANNELS, 3, padding=1), nn.GELU())
        self.middle = nn.Sequential(nn.Conv2d(F4_CHANNELS, F8_CHANNELS, 2, 2), nn.GELU())
        self.to4 = nn.Conv2d(F4_CHANNELS, F4_CHANNELS, 1)
        self.to8 = nn.Conv2d(F8_CHANNELS, F8_CHANNELS, 1)
        self.to16 = nn.Conv2d(F8_CHANNELS, WIDTH, 2, 2)
        _zero(self.to4, self.to8, self.to16)

    def maps(self, prompt: Prompt) -> Tensor:
        """[batch, 3, cells, cells]: positive clicks, negative clicks, inside of the box; cells of stride 4.

        Each is a product of a function of x and a function of y, so a map is one small matrix product.
        """
        cells = 4 * self.grid
        pitch = SIZE / cells
        centres = (torch.arange(cells, device=prompt.coords.device, dtype=torch.float32) + 0.5) * pitch - 0.5
        offset = (centres - prompt.coords[..., None]) / CLICK_SIGMA_PX
        bumps = torch.exp(-0.5 * offset * offset)
        x, y = bumps[:, :, 0], bumps[:, :, 1]
        clicks = [
            (y * (prompt.labels == label).float()[..., None]).transpose(1, 2) @ x for label in (POSITIVE, NEGATIVE)
        ]
        is_from = (prompt.labels == BOX_FROM).float()[..., None]
        is_to = (prompt.labels == BOX_TO).float()[..., None]
        top_left, bottom_right = (prompt.coords * is_from).sum(1), (prompt.coords * is_to).sum(1)
        sides = torch.sigmoid((centres - top_left[..., None]) / BOX_EDGE_PX) * torch.sigmoid(
            (bottom_right[..., None] - centres) / BOX_EDGE_PX
        )
        box = sides[:, 1, :, None] * sides[:, 0, None, :] * is_from.sum(1)[..., None]
        return torch.stack([*clicks, box], 1)

    def forward(self, prompt: Prompt) -> tuple[Tensor, Tensor, Tensor]:
        # A confident network has large logits; only their sign and the soft edge matter.
        mask = torch.tanh(prompt.mask * 0.25) * prompt.has_mask.reshape(-1, 1, 1, 1)
        if self.subpixels > 1:
            mask = self.mask_conv(mask)
        fine = self.fine(torch.cat([mask, self.maps(prompt).to(mask.dtype)], 1))
        middle = self.middle(fine)
        return self.to4(fine), self.to8(middle), self.to16(middle)


class Decoder(nn.Module):
    """Prompt encoder and mask decoder over an embedding of `grid` by `grid` tokens.

    Args:
        grid: tokens along a side; masks have `4 * grid * subpixels` pixels along a side.
        subpixels: mask pixels along a side of a cell that is a quarter of a token.
        has_skips: whether encoder features of stride 4 and 8 enter the upscaling.
    """

    gaussian: Tensor

    def __init__(self, grid: int, subpixels: int, *, has_skips: bool) -> None:
        super().__init__()
        self.grid, self.subpixels = grid, subpixels
        self.mask_side = 4 * grid * subpixels
        self.register_buffer("gaussian", torch.randn(2, WIDTH // 2))
        self.point_embed = nn.Parameter(torch.zeros(4, WIDTH))
        self.not_a_point = nn.Parameter(torch.zeros(1, WIDTH))
        self.no_mask = nn.Parameter(torch.zeros(1, WIDTH))
        self.iou_token = nn.Parameter(torch.zeros(1, WIDTH))
        self.mask_tokens = nn.Parameter(torch.zeros(MASK_TOKENS, WIDTH))
        self.dense = DensePrompt(grid, subpixels)
        self.transformer = TwoWayTransformer()
        self.up8 = nn.ConvTranspose2d(WIDTH, F8_CHANNELS, 2, 2)
        self.norm8 = LayerNorm2d(F8_CHANNELS)
        self.up4 = nn.ConvTranspose2d(F8_CHANNELS, F4_CHANNELS, 2, 2)
        self.has_skips = has_skips
        if has_skips:
            self.skip8 = nn.Conv2d(F8_CHANNELS, F8_CHANNELS, 1)
            self.skip4 = nn.Conv2d(F4_CHANNELS, F4_CHANNELS, 1)
            self.refine = nn.Sequential(
                nn.Conv2d(F4_CHANNELS, F4_CHANNELS, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(F4_CHANNELS, F4_CHANNELS, 3, padding=1),
            )
            _zero(self.skip8, self.skip4, self.refine[-1])
        self.hypernetwork = Mlp([WIDTH, WIDTH, WIDTH, F4_CHANNELS * subpixels * subpixels])
        self.iou_head = Mlp([WIDTH, WIDTH, WIDTH, 1])
        self.keep = nn.Conv2d(F4_CHANNELS, subpixels * subpixels, 1)
        _zero(self.keep)

    def position(self, at: Tensor) -> Tensor:
        """Random Fourier features of positions in [0, 1], [..., 2] to [..., 256] (Tancik 2020)."""
        angles = 2 * math.pi * ((2 * at - 1) @ self.gaussian)
        return torch.cat([angles.sin(), angles.cos()], -1)

    def image_position(self) -> Tensor:
        """[1, grid * grid, 256]."""
        centres = (torch.arange(self.grid, device=self.gaussian.device, dtype=torch.float32) + 0.5) / self.grid
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        return self.position(torch.stack([x, y], -1)).reshape(1, self.grid**2, WIDTH)

    def embed_points(self, prompt: Prompt) -> Tensor:
        """[batch, 16, 256]."""
        at = self.position((prompt.coords + 0.5) / SIZE)
        labels = prompt.labels[..., None]
        is_pad = (labels == PAD).float()
        embedded = at * (1 - is_pad) + self.not_a_point * is_pad
        for label in range(len(self.point_embed)):
            embedded = embedded + (labels == label).float() * self.point_embed[label]
        return embedded

    def forward(self, embedding: Tensor, f4: Tensor | None, f8: Tensor | None, prompt: Prompt) -> Answer:
        """One mask per image and prompt. `f4` and `f8` are the encoder's, for a decoder with skips."""
        batch = embedding.shape[0]
        with torch.autocast(embedding.device.type, enabled=False):
            points = self.embed_points(prompt)
        own = torch.cat([self.iou_token, self.mask_tokens]).expand(batch, -1, -1)
        dense4, dense8, dense16 = self.dense(prompt)
        source = to_tokens(embedding + dense16 + self.no_mask[..., None, None])
        tokens, source = self.transformer(source, self.image_position(), torch.cat([own, points], 1))
        stride8 = self.up8(to_map(source, self.grid)) + dense8
        if self.has_skips:
            stride8 = stride8 + self.skip8(f8)
        stride4 = self.up4(F.gelu(self.norm8(stride8))) + dense4
        if self.has_skips:
            stride4 = stride4 + self.skip4(f4)
        stride4 = F.gelu(stride4)
        if self.has_skips:
            stride4 = stride4 + self.refine(stride4)
        cells = 4 * self.grid
        weights = self.hypernetwork(tokens[:, 1]).reshape(batch, self.subpixels**2, F4_CHANNELS)
        mask = (weights @ stride4.flatten(2)).reshape(batch, self.subpixels**2, cells, cells)
        before = prompt.mask.clamp(-KEPT_LOGIT_MAX, KEPT_LOGIT_MAX) * prompt.has_mask.reshape(-1, 1, 1, 1)
        kept = interleave(self.keep(stride4), self.subpixels) * before
        return Answer(interleave(mask, self.subpixels) + kept, self.iou_head(tokens[:, 0]))

    @torch.no_grad()
    def load_litemedsam(self, prompt_encoder: Any, mask_decoder: Any) -> None:
        """Loads the weights of LiteMedSAM's prompt encoder and mask decoder, for any grid."""
        self.gaussian.copy_(prompt_encoder.pe_layer.positional_encoding_gaussian_matrix)
        for own, other in zip(self.point_embed, prompt_encoder.point_embeddings, strict=True):
            own.copy_(other.weight[0])
        self.not_a_point.copy_(prompt_encoder.not_a_point_embed.weight)
        self.no_mask.copy_(prompt_encoder.no_mask_embed.weight)
        self.iou_token.copy_(mask_decoder.iou_token.weight)
        self.mask_tokens.copy_(mask_decoder.mask_tokens.weight)
        self.transformer.load_state_dict(mask_decoder.transformer.state_dict())
        for own, at in ((self.up8, 0), (self.norm8, 1), (self.up4, 3)):
            own.load_state_dict(mask_decoder.output_upscaling[at].state_dict())
        for own, other in zip(self.hypernetwork.layers, mask_decoder.output_hypernetworks_mlps[0].layers, strict=True):
            linear = cast(nn.Linear, own)
            repeats = linear.weight.shape[0] // other.weight.shape[0]
            linear.weight.copy_(other.weight.repeat(repeats, 1))
            linear.bias.copy_(other.bias.repeat(repeats))
        for own, other in zip(self.iou_head.layers, mask_decoder.iou_prediction_head.layers, strict=True):
            linear = cast(nn.Linear, own)
            linear.weight.copy_(other.weight[: len(linear.weight)])
            linear.bias.copy_(other.bias[: len(linear.bias)])

    @torch.no_grad()
    def load_coarser(self, other: "Decoder") -> None:
        """Loads the weights of a decoder on a coarser grid, as far as both have them.

        A token, a click or a cell has the same meaning on every grid. A cell is one pixel here, so the weights of its
        sub-pixels are averaged; those for the previous mask are combined as if it were constant over a cell.

        Args:
            other: a decoder with sub-pixels; this one has none.
        """
        own, theirs = self.state_dict(), other.state_dict()
        for name, value in own.items():
            found = theirs[name]
            if found.shape == value.shape:
                value.copy_(found)
            elif name.startswith(("hypernetwork.", "keep.")):
                value.copy_(found.unflatten(0, (-1, len(value))).mean(0))
        of_mask, of_maps = theirs["dense.fine.0.weight"].tensor_split([-3], 1)
        gain = torch.einsum("oihw,i->ohw", of_mask, theirs["dense.mask_conv.weight"].sum((1, 2, 3)))
        own["dense.fine.0.weight"].copy_(torch.cat([gain[:, None], of_maps], 1))
        own["dense.fine.0.bias"].add_(of_mask.sum((2, 3)) @ theirs["dense.mask_conv.bias"])
