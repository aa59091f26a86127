"""The decoder is LiteMedSAM's with its weights; additions start at zero; maps are where the prompt is."""

import pytest
import torch

from sonotrace_models.nets.decoder import (
    BOX_FROM,
    BOX_TO,
    NEGATIVE,
    PAD,
    POINT_SLOTS,
    POSITIVE,
    DensePrompt,
    Prompt,
)
from sonotrace_models.nets.sonosam import SonoSam, SonoSamLite, choose, litemedsam, litemedsam_input


def prompt(points: list[tuple[float, float, int]], side: int) -> Prompt:
    coords = torch.zeros(1, POINT_SLOTS, 2)
    labels = torch.full((1, POINT_SLOTS), float(PAD))
    for at, (x, y, label) in enumerate(points):
        coords[0, at] = torch.tensor([x, y])
        labels[0, at] = label
    return Prompt(coords, labels, torch.zeros(1, 1, side, side), torch.zeros(1))


@torch.no_grad()
def test_equals_litemedsam_for_a_box() -> None:
    encoder, prompt_encoder, mask_decoder = litemedsam()
    teacher = SonoSam().eval()
    grey = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    embedding = encoder.eval()(litemedsam_input(grey, torch.tensor([[256, 200]])))
    box = torch.tensor([[30.0, 40.0, 150.0, 160.0]])
    sparse, dense = prompt_encoder(points=None, boxes=box, masks=None)
    expected, iou = mask_decoder(
        image_embeddings=embedding,
        image_pe=prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    # SAM gives a box's tokens alone; here all slots take part, so only those two are given.
    corners = Prompt(
        box.reshape(1, 2, 2),
        torch.tensor([[BOX_FROM, BOX_TO]]).float(),
        torch.zeros(1, 1, 256, 256),
        torch.zeros(1),
    )
    answer = teacher(embedding, corners)
    torch.testing.assert_close(answer.masks[:, :1], expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(answer.iou[:, :1], iou, rtol=1e-4, atol=1e-4)


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


def test_only_a_lone_positive_click_takes_a_candidate() -> None:
    net = SonoSamLite().eval()
    with torch.no_grad():
        image = torch.zeros(1, 1, 256, 256)
        lone, pair = prompt([(9, 9, POSITIVE)], 128), prompt([(9, 9, POSITIVE), (20, 9, NEGATIVE)], 128)
        box = prompt([(9, 9, BOX_FROM), (20, 20, BOX_TO)], 128)
        answer = net(image, lone)
        assert answer.masks.shape == (1, 4, 128, 128)
        assert choose(answer, lone) == answer.iou[0, 1:].argmax() + 1
        assert choose(net(image, pair), pair) == 0
        assert choose(net(image, box), box) == 0


@torch.no_grad()
def test_unused_slots_are_ignored_by_the_maps_and_tokens() -> None:
    net = SonoSamLite().eval()
    image = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    plain = prompt([(90, 90, POSITIVE)], 128)
    moved = plain._replace(coords=torch.where(plain.labels[..., None] == PAD, 77.0, plain.coords))
    torch.testing.assert_close(net(image, plain).masks, net(image, moved).masks)
