"""The decoder equals LiteMedSAM's with its weights and computes the same on another grid; maps are where the prompt is."""

from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sonotrace_models.data.embeddings import Embeddings
from sonotrace_models.evaluate.segmenters import LiteMedSam
from sonotrace_models.nets.decoder import (
    BOX_FROM,
    BOX_TO,
    NEGATIVE,
    PAD,
    POINT_SLOTS,
    POSITIVE,
    Decoder,
    DensePrompt,
    Prompt,
)
from sonotrace_models.nets.sonosam import SonoSamLite, litemedsam, litemedsam_input


def prompt(points: list[tuple[float, float, int]], side: int) -> Prompt:
    coords = torch.zeros(1, POINT_SLOTS, 2)
    labels = torch.full((1, POINT_SLOTS), float(PAD))
    for at, (x, y, label) in enumerate(points):
        coords[0, at] = torch.tensor([x, y])
        labels[0, at] = label
    return Prompt(coords, labels, torch.zeros(1, 1, side, side), torch.zeros(1))


@pytest.mark.parametrize("has_box", [True, False])
@torch.no_grad()
def test_the_baseline_equals_litemedsam(*, has_box: bool) -> None:
    encoder, prompt_encoder, mask_decoder = litemedsam()
    baseline = LiteMedSam(cast(Embeddings, None))
    grey = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    embedding = encoder.eval()(litemedsam_input(grey, torch.tensor([[256, 200]])))
    corners = torch.tensor([[30.0, 40.0, 150.0, 160.0]])
    click = torch.tensor([[[90.0, 100.0]]]), torch.ones(1, 1)
    sparse, dense = prompt_encoder(points=None if has_box else click, boxes=corners if has_box else None, masks=None)
    expected, iou = mask_decoder(
        image_embeddings=embedding,
        image_pe=prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    asked = prompt([(30, 40, BOX_FROM), (150, 160, BOX_TO)] if has_box else [(90, 100, POSITIVE)], 256)
    answer = baseline.answer((embedding,), asked)
    torch.testing.assert_close(answer.mask, expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(answer.iou, iou, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_decoder_on_a_finer_grid_computes_the_same() -> None:
    torch.manual_seed(0)
    coarse = Decoder(16, subpixels=2, has_skips=True).eval()
    _, prompt_encoder, mask_decoder = litemedsam()
    coarse.load_litemedsam(prompt_encoder, mask_decoder)
    dense = coarse.dense
    for module in (dense.to4, dense.to8, dense.to16, coarse.keep, coarse.hypernetwork):
        for parameter in module.parameters():
            parameter.normal_(0, 0.05)
    # A constant input gives the same result on every grid if positions and edges have no effect.
    coarse.gaussian.zero_()
    centre = torch.zeros(3, 3)
    centre[1, 1] = 1
    cast(nn.Conv2d, dense.fine[0]).weight.mul_(centre)
    fine = Decoder(64, subpixels=1, has_skips=False).eval()
    fine.load_coarser(coarse)
    embedding = torch.randn(1, 256, 1, 1)
    answers = []
    for decoder in (coarse, fine):
        asked = prompt([(-1000, -1000, BOX_FROM), (1255, 1255, BOX_TO)], decoder.mask_side)
        asked = asked._replace(mask=torch.full_like(asked.mask, 1.5), has_mask=torch.ones(1))
        tokens = embedding.expand(-1, -1, decoder.grid, decoder.grid)
        skips = torch.zeros(1, 32, 64, 64), torch.zeros(1, 64, 32, 32)
        answers.append(decoder(tokens, *(skips if decoder.has_skips else (None, None)), asked))
    cells = F.avg_pool2d(answers[0].mask, 2)
    assert cells.std() > 0.01
    torch.testing.assert_close(answers[1].mask[..., :64, :64], cells, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(answers[1].iou, answers[0].iou, rtol=1e-4, atol=1e-4)


def test_maps_are_where_the_prompt_is() -> None:
    dense = DensePrompt(grid=16, subpixels=2)
    maps = dense.maps(prompt([(41.5, 81.5, POSITIVE), (201.5, 21.5, NEGATIVE)], 128))[0]
    assert maps.shape == (3, 64, 64)
    for channel, (x, y) in enumerate([(10, 20), (50, 5)]):
        assert divmod(int(maps[channel].argmax()), 64) == (y, x)
        assert maps[channel].max() == pytest.approx(1, abs=0.01)
    assert maps[2].abs().max() == 0
    box = dense.maps(prompt([(40, 60, BOX_FROM), (120, 100, BOX_TO)], 128))[0, 2]
    assert box[20, 20] > 0.99
    assert box[20, 40] < 0.01
    assert box.sum() * 16 == pytest.approx(80 * 40, rel=0.02)


@torch.no_grad()
def test_unused_slots_are_ignored_by_the_maps_and_tokens() -> None:
    net = SonoSamLite().eval()
    image = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    plain = prompt([(90, 90, POSITIVE)], 128)
    moved = plain._replace(coords=torch.where(plain.labels[..., None] == PAD, 77.0, plain.coords))
    torch.testing.assert_close(net(image, plain).mask, net(image, moved).mask)
