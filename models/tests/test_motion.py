"""Motion between frames: what is compared, how masks move, what a flow costs, and that it can be learnt."""

import torch
from torch import Tensor

from sonotrace_models.data.fields import affine, identity
from sonotrace_models.data.sequences import origins_of
from sonotrace_models.nets.encoder import Textures
from sonotrace_models.nets.motion import OFFSETS, REACH, SIDE, Motion, Moved, after, correlation, follow, still
from sonotrace_models.train.motion import flow_loss, label_loss, weights_of


def flow(dx: float, dy: float, batch: int = 1, side: int = SIDE) -> Tensor:
    """The same everywhere."""
    return torch.tensor([float(dx), float(dy)]).reshape(1, 2, 1, 1).expand(batch, 2, side, side)


def test_each_place_is_compared_with_those_about_it() -> None:
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


def test_what_was_elsewhere_moves_here() -> None:
    cells = torch.rand(1, 3, SIDE, SIDE)
    torch.testing.assert_close(follow(cells, flow(0, 0)), cells, atol=1e-5, rtol=0)
    # What is here now was one cell to the right and two up; at the border it stays the border's.
    shifted = follow(cells, flow(1, -2))
    torch.testing.assert_close(shifted[:, :, 2:, :-1], cells[:, :, :-2, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(shifted[:, :, 2:, -1], cells[:, :, :-2, -1], atol=1e-5, rtol=0)
    # A mask's pixels are half as large as a cell: the same flow moves them by twice as many.
    mask = torch.rand(1, 2, 2 * SIDE, 2 * SIDE)
    torch.testing.assert_close(follow(mask, flow(1.5, 0, side=2 * SIDE))[..., :-3], mask[..., 3:], atol=1e-4, rtol=0)


def test_the_true_flow_costs_nothing_and_another_its_distance() -> None:
    # The picture slides by 6 pixels to the right from one frame to the next: what is here was 6 pixels to the left.
    still = torch.zeros(1, dtype=torch.bool)
    shifts = torch.tensor([[0.0, 0.0], [-6 / 128, 0.0]])
    field = affine(identity(2, torch.device("cpu")), torch.zeros(2), torch.ones(2), shifts, still.expand(2))
    before, now = origins_of(field)[:, None]
    # Not at the border, beyond which a flow finds what is at the border.
    weights = torch.zeros(1, SIDE, SIDE)
    weights[:, 3:-3, 3:-3] = 1
    assert flow_loss(flow(-1.5, 0), now, before, weights)[1] < 1e-3
    torch.testing.assert_close(flow_loss(flow(0.5, 0), now, before, weights)[1], torch.tensor(2.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(flow_loss(flow(-1.5, 1), now, before, weights)[1], torch.tensor(1.0), atol=1e-3, rtol=0)
    weights[:, :, SIDE // 2 :] = 0
    broken = flow(-1.5, 0).clone()
    broken[..., SIDE // 2 :] = 9
    assert flow_loss(broken, now, before, weights)[1] < 1e-3, "what does not count costs nothing"


def test_cells_that_show_nothing_have_no_origin() -> None:
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


def test_labels_that_end_up_elsewhere_cost_their_area() -> None:
    shares = torch.zeros(1, 11, 2 * SIDE, 2 * SIDE)
    shares[:, 0] = 1
    shares[:, 0, 40:60, 40:60], shares[:, 4, 40:60, 40:60] = 0, 1
    after = shares.roll(2, 3)
    assert label_loss(flow(-1, 0), after, shares) < 1e-4
    # A strip of 2 x 20 pixels at each side, in two ids.
    expected = 2 * 2 * 40 / (2 * SIDE) ** 2
    torch.testing.assert_close(label_loss(flow(0, 0), after, shares).item(), expected, atol=1e-5, rtol=0)


def test_what_is_black_hardly_counts() -> None:
    grey = torch.zeros(1, 256, 256)
    grey[:, :, 128:] = 0.5
    weights = weights_of(grey)
    assert weights.shape == (1, SIDE, SIDE)
    assert (weights[:, :, SIDE // 2 :] == 1).all()
    assert (weights[:, :, : SIDE // 2] < 0.1).all()


def test_nothing_moves_before_anything_is_learnt_and_motion_is_learnt() -> None:
    torch.manual_seed(0)
    motion = Motion()
    optimizer = torch.optim.Adam(motion.parameters(), 3e-3)

    def pair() -> tuple[Textures, Textures, Tensor]:
        """Speckle that slid by up to 1.5 cells, as two features of it."""
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


def test_flows_one_after_the_other() -> None:
    torch.testing.assert_close(after(flow(2, 1), flow(-0.5, 3)), flow(1.5, 4), atol=1e-4, rtol=0)
    # A flow that grows to the right by a tenth of a cell a cell: ten cells on it is one more.
    grows = flow(0, 0).clone()
    grows[:, 0] = torch.arange(SIDE) / 10
    chained = after(grows, flow(10, 0))
    torch.testing.assert_close(chained[0, 0, 5, 20], torch.tensor(10 + 3.0), atol=1e-3, rtol=0)


@torch.no_grad()
def test_what_nothing_is_added_to_stays_where_it_was() -> None:
    """Before anything is learnt a frame has moved as far as the one before, and its step is none."""
    torch.manual_seed(0)
    textures = Textures(torch.randn(1, 32, SIDE, SIDE), torch.randn(1, 64, SIDE // 2, SIDE // 2))
    found = Motion()(textures, textures, Moved(flow(1.5, -2), flow(0.5, 0))).moved
    torch.testing.assert_close(found.flow, flow(1.5, -2), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.step, flow(0, 0), atol=1e-4, rtol=0)
