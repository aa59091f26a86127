"""Masks that were propagated from another frame, in training and in evaluation."""

import pytest
import torch
from torch import Tensor

from sonotrace_models.evaluate import loops
from sonotrace_models.evaluate.loops import CORRECTIONS_MAX
from sonotrace_models.losses import overlap
from sonotrace_models.nets.decoder import BOX_FROM, BOX_TO, NEGATIVE, Answer, Prompt
from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.train.interactive import carried_masks


def ellipses(rows: int) -> Tensor:
    at = torch.arange(128.0)
    x, y = 40 + at[:rows, None, None] % 50, 50 + at[:rows, None, None] % 30
    return ((((at - x) / 18) ** 2 + ((at[:, None] - y) / 30) ** 2) < 1).float()[:, None]


def test_simulated_propagated_masks_have_realistic_errors() -> None:
    truth = ellipses(100)
    logits, is_carried = carried_masks(truth, 0.8, torch.Generator().manual_seed(0))
    assert 60 < is_carried.sum() < 95
    assert (logits[~is_carried] == 0).all()
    shared = overlap(logits, truth)[is_carried, 0]
    dice = 2 * shared / (1 + shared)
    # Around the 0.90 at which the user intervenes.
    assert 0.85 < dice.median() < 0.95
    assert dice.min() > 0.7
    assert dice.max() > 0.95


def test_a_correction_is_prompted_with_the_propagated_masks_box_and_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = SonoSamLite().eval()
    asked = list[Prompt]()

    def decode(_embedding: Tensor, _f4: Tensor, _f8: Tensor, prompt: Prompt) -> Answer:
        asked.append(prompt)
        return Answer(prompt.mask.expand(-1, 4, -1, -1), torch.zeros(1, 4))

    monkeypatch.setattr(net.decoder, "forward", decode)
    truth = torch.zeros(256, 256, dtype=torch.bool)
    truth[40:200, 40:160] = True
    # The box is that of the mask's own pixels, not of the mask enlarged to the input grid.
    before = torch.full((128, 128), -1.0)
    before[20:100, 20:100] = 8
    features = Features(torch.zeros(1, 256, 16, 16), torch.zeros(1, 32, 64, 64), torch.zeros(1, 64, 32, 32))
    _, clicks = loops.click_until_good(net, features, truth.numpy(), before, CORRECTIONS_MAX)
    assert clicks == len(asked) == CORRECTIONS_MAX
    for made, prompt in enumerate(asked, 1):
        assert prompt.labels[0, : 2 + made].tolist() == [BOX_FROM, BOX_TO] + [NEGATIVE] * made
        assert prompt.coords[0, :2].tolist() == [[40, 40], [199, 199]]
        assert torch.equal(prompt.mask[0, 0], before)
