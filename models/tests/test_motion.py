"""Motion between frames: correlation, warping, losses, and learning."""

import torch
from torch import Tensor

from sonotrace_models.data.fields import affine, identity
from sonotrace_models.data.sequences import origins_of
from sonotrace_models.nets.encoder import Textures
from sonotrace_models.nets.motion import OFFSETS, REACH, SIDE, Motion, Moved, after, correlation, follow, still
from sonotrace_models.train.motion import flow_loss, label_loss, weights_of


def flow(dx: float, dy: float, batch: int = 1, side: int = SIDE) -> Tensor:
    """A constant flow."""
    return torch.tensor([float(dx), float(dy)]).reshape(1, 2, 1, 1).expand(batch, 2, side, side)


def test_correlation_compares_each_cell_with_its_neighbourhood() -> None:
    key, old = torch.randn(2, 3, 5, 6), torch.randn(2, 3, 5, 6)
    compared = correlation(key, old)
    assert compared.shape == (2, OFFSETS, 5, 6)
    for at in range(OFFSETS):
        dy, dx = at // (2 * REACH + 1) - REACH, at % (2 * REACH + 1) - REACH
        for y in range(5):
            for x in range(6):
                is_inside = 0 <= y + dy < 5 and 0 <= x + dx < 6
                expected = (key[:, :, y, x] * old[:, :, y + dy, x + dx]).mean(1) if is_inside else torch.zeros(2)
                torch.testing.assert_close(compared[:, at, y, x], expected)


def test_warping_samples_at_the_flow() -> None:
    cells = torch.rand(1, 3, SIDE, SIDE)
    torch.testing.assert_close(follow(cells, flow(0, 0)), cells, atol=1e-5, rtol=0)
    # The content of each cell was one cell to the right and two up; outside, the border's value is repeated.
    shifted = follow(cells, flow(1, -2))
    torch.testing.assert_close(shifted[:, :, 2:, :-1], cells[:, :, :-2, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(shifted[:, :, 2:, -1], cells[:, :, :-2, -1], atol=1e-5, rtol=0)
    # A mask pixel is half as large as a cell, so the same flow is twice as many pixels.
    mask = torch.rand(1, 2, 2 * SIDE, 2 * SIDE)
    torch.testing.assert_close(follow(mask, flow(1.5, 0, side=2 * SIDE))[..., :-3], mask[..., 3:], atol=1e-4, rtol=0)


def test_the_flow_loss_is_the_distance_from_the_true_flow() -> None:
    # The image moves 6 pixels to the right between the frames, so each cell's content was 6 pixels further left.
    still = torch.zeros(1, dtype=torch.bool)
    shifts = torch.tensor([[0.0, 0.0], [-6 / 128, 0.0]])
    field = affine(identity(2, torch.device("cpu")), torch.zeros(2), torch.ones(2), shifts, still.expand(2))
    before, now = origins_of(field)[:, None]
    # Not near the border, because a flow to the outside repeats the border's value.
    weights = torch.zeros(1, SIDE, SIDE)
    weights[:, 3:-3, 3:-3] = 1
    assert flow_loss(flow(-1.5, 0), now, before, weights)[1] < 1e-3
    torch.testing.assert_close(flow_loss(flow(0.5, 0), now, before, weights)[1], torch.tensor(2.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(flow_loss(flow(-1.5, 1), now, before, weights)[1], torch.tensor(1.0), atol=1e-3, rtol=0)
    weights[:, :, SIDE // 2 :] = 0
    broken = flow(-1.5, 0).clone()
    broken[..., SIDE // 2 :] = 9
    assert flow_loss(broken, now, before, weights)[1] < 1e-3, "cells of weight 0 have no effect"


def test_cells_outside_the_image_have_no_origin() -> None:
    field = affine(
        identity(1, torch.device("cpu")),
        torch.zeros(1),
        torch.tensor([2.0]),
        torch.zeros(1, 2),
        torch.zeros(1, dtype=torch.bool),
    )
    origins = origins_of(field)
    assert origins.shape == (1, SIDE, SIDE, 2)
    assert (origins[0, SIDE // 4 : -SIDE // 4].abs() <= 1).any()
    assert (origins[0, : SIDE // 4 - 1] == 2).all()
    at = (2 * torch.arange(SIDE) + 1) / SIDE - 1
    torch.testing.assert_close(origins_of(identity(1, torch.device("cpu")))[0, 3, :, 0], at)


def test_the_label_loss_is_the_misplaced_area() -> None:
    shares = torch.zeros(1, 11, 2 * SIDE, 2 * SIDE)
    shares[:, 0] = 1
    shares[:, 0, 40:60, 40:60], shares[:, 4, 40:60, 40:60] = 0, 1
    after = shares.roll(2, 3)
    assert label_loss(flow(-1, 0), after, shares) < 1e-4
    # A strip of 2 x 20 pixels at each side, in two ids.
    expected = 2 * 2 * 40 / (2 * SIDE) ** 2
    torch.testing.assert_close(label_loss(flow(0, 0), after, shares).item(), expected, atol=1e-5, rtol=0)


def test_black_cells_have_a_low_weight() -> None:
    grey = torch.zeros(1, 256, 256)
    grey[:, :, 128:] = 0.5
    weights = weights_of(grey)
    assert weights.shape == (1, SIDE, SIDE)
    assert (weights[:, :, SIDE // 2 :] == 1).all()
    assert (weights[:, :, : SIDE // 2] < 0.1).all()


def test_the_initial_flow_is_zero_and_motion_is_learnt() -> None:
    torch.manual_seed(0)
    motion = Motion()
    optimizer = torch.optim.Adam(motion.parameters(), 3e-3)

    def pair() -> tuple[Textures, Textures, Tensor]:
        """Textures of speckle before and after a motion of up to 1.5 cells, and the flow."""
        cells = (3 * torch.rand(4, 2, 1, 1) - 1.5).expand(4, 2, SIDE, SIDE)
        noise = torch.randn(4, 32, SIDE, SIDE)
        f4 = follow(noise, cells)
        pool = torch.nn.functional.avg_pool2d
        old, new = (pool(part, 2).repeat(1, 2, 1, 1) for part in (noise, f4))
        return Textures(f4, new), Textures(noise, old), cells

    nothing = still(4, torch.device("cpu"))
    now, before, cells = pair()
    assert (motion(now, before, nothing).moved.flow == 0).all()
    errors = []
    for _ in range(60):
        now, before, cells = pair()
        error = (motion(now, before, nothing).moved.flow - cells)[..., 4:-4, 4:-4].abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert sum(errors[-10:]) < 0.5 * sum(errors[:10])


def test_flows_compose() -> None:
    torch.testing.assert_close(after(flow(2, 1), flow(-0.5, 3)), flow(1.5, 4), atol=1e-4, rtol=0)
    # The flow grows to the right by a tenth of a cell per cell, so ten cells further right it is larger by one.
    grows = flow(0, 0).clone()
    grows[:, 0] = torch.arange(SIDE) / 10
    chained = after(grows, flow(10, 0))
    torch.testing.assert_close(chained[0, 0, 5, 20], torch.tensor(10 + 3.0), atol=1e-3, rtol=0)


@torch.no_grad()
def test_an_untrained_network_keeps_the_previous_flow() -> None:
    """Before training, a frame's flow is the previous frame's flow, and its step is zero."""
    torch.manual_seed(0)
    textures = Textures(torch.randn(1, 32, SIDE, SIDE), torch.randn(1, 64, SIDE // 2, SIDE // 2))
    found = Motion()(textures, textures, Moved(flow(1.5, -2), flow(0.5, 0))).moved
    torch.testing.assert_close(found.flow, flow(1.5, -2), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.step, flow(0, 0), atol=1e-4, rtol=0)


def test_gradients_in_bf16_are_finite_with_channels_last() -> None:
    generator = torch.Generator().manual_seed(0)
    net = Motion().to(memory_format=torch.channels_last)
    now, anchor = (
        Textures(torch.randn(2, 32, 64, 64, generator=generator), torch.randn(2, 64, 32, 32, generator=generator))
        for _ in range(2)
    )
    with torch.autocast("cpu", torch.bfloat16):
        found = net(now, anchor, still(2, torch.device("cpu")))
        (found.hidden.float().square().mean() + found.moved.flow.sum()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
