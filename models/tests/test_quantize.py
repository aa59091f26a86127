"""Simulated int8 against arithmetic in integers."""

import pytest
import torch
from torch import Tensor, nn

from sonotrace_models.nets.tracker import Tracker
from sonotrace_models.quantize import Int8Linear, fake_int8, round_weights, simulate_int8


def in_integers(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows as integers, and their scales."""
    scale = x.abs().amax(1, keepdim=True) / 127
    return (x / scale).round().to(torch.int64), scale


def test_a_linear_layer_is_the_product_of_integers() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(70, 30), torch.randn(9, 70)
    rows, row_scales = in_integers(x)
    channels, channel_scales = in_integers(layer.weight.detach())
    assert rows.abs().max() == 127
    expected = (rows @ channels.T).float() * row_scales * channel_scales.T + layer.bias
    torch.testing.assert_close(simulate_int8(layer)(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("stride", "padding", "kernel", "dilation"),
    [(1, 1, 3, 1), (2, 1, 3, 1), (1, 0, 1, 1), (8, 4, 9, 1), (1, 2, 3, 2), (2, 1, 3, 3)],
)
def test_a_convolution_is_a_linear_layer_over_patches(stride: int, padding: int, kernel: int, dilation: int) -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(5, 7, kernel, stride, padding, dilation), torch.randn(2, 5, 24, 24)
    linear = Int8Linear(5 * kernel * kernel, 7)
    assert conv.bias is not None
    linear.weight.data, linear.bias.data = conv.weight.data.flatten(1), conv.bias.data
    patches = nn.functional.unfold(x, kernel, dilation, padding, stride).transpose(1, 2)
    expected = linear(patches).transpose(1, 2).reshape(conv(x).shape)
    torch.testing.assert_close(simulate_int8(conv)(x), expected, rtol=1e-4, atol=1e-5)


def test_a_transposed_convolution_is_close_to_the_exact_one() -> None:
    torch.manual_seed(0)
    conv, x = nn.ConvTranspose2d(16, 8, 2, 2), torch.randn(2, 16, 6, 6)
    exact, rounded = conv(x), simulate_int8(conv)(x)
    assert rounded.shape == exact.shape
    assert 0 < (rounded - exact).std() < 0.02 * exact.std()


def test_gradients_pass_through_the_rounding() -> None:
    x = torch.tensor([[0.1, -0.7, 1.0]], requires_grad=True)
    fake_int8(x, 1).sum().backward()
    torch.testing.assert_close(x.grad, torch.ones(1, 3))


def test_depthwise_convolutions_and_named_modules_stay_exact() -> None:
    tracker = simulate_int8(Tracker(), kept=("bank",))
    kinds = {name: type(module).__name__ for name, module in tracker.named_modules()}
    assert kinds["propagate.local.0"] == "Conv2d"
    assert kinds["bank"] == "Conv2d"
    assert kinds["to_key"] == "Int8Linear"
    assert kinds["conv8"] == "Int8Conv2d"


def test_rounded_weights_are_integers_times_a_scale_of_their_channel() -> None:
    torch.manual_seed(0)
    for layer, channels in (
        (nn.Linear(30, 20), lambda weight: weight),
        (nn.Conv2d(6, 9, 3), lambda weight: weight.flatten(1)),
        (nn.ConvTranspose2d(8, 5, 2, 2), lambda weight: weight.flatten(1).T),
    ):
        rounded = round_weights(layer)
        rows = channels(rounded.weight.detach())
        integers = rows / (rows.abs().amax(1, keepdim=True) / 127)
        torch.testing.assert_close(integers, integers.round(), rtol=0, atol=1e-3)
        assert (rounded.weight - layer.weight).abs().max() < 0.01 * layer.weight.abs().max()
        # Rounding again changes nothing.
        torch.testing.assert_close(round_weights(rounded).weight, rounded.weight)
    depthwise = round_weights(nn.Conv2d(6, 6, 3, groups=6))
    torch.testing.assert_close(depthwise.weight, depthwise.weight.half().float(), rtol=0, atol=0)
