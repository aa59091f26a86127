"""Networks that are in no package: loaded from a clone of their authors' repository, which the caller brings.

The clones lie in one folder under the names that `git clone` gives them. Nothing of theirs is part of this project.
"""

import importlib
import importlib.abc
import importlib.machinery
import subprocess
import sys
import types
from collections.abc import Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

# Packages that these repositories import for training, or for one class: replaced where they are not installed.
OPTIONAL = ("IPython", "attr", "mmcv", "termcolor", "thop")
# Top-level packages that several repositories call the same.
OWN = ("isegm", "networks", "configs", "utils")


class ConvModule(nn.Sequential):
    """mmcv's convolution, batch normalisation and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, **_: Any) -> None:
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, bias=False)
        super().__init__(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


class BaseModule(nn.Module):
    """mmcv's module with a configuration of its initialisation."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()


class StandIn:
    """Stands for anything else in a package that is not installed; as a decorator it changes nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, decorated: Any) -> Any:
        return decorated

    def register_module(self, *_: Any, **__: Any) -> "StandIn":
        """mmcv's registry of classes."""
        return StandIn()


class StandInModule(types.ModuleType):
    """A package that is not installed."""

    __path__: ClassVar[MutableSequence[str]] = []  # type: ignore[misc]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return {"ConvModule": ConvModule, "BaseModule": BaseModule}.get(name, StandIn)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds optional packages that are not installed; asked last."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in OPTIONAL:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return StandInModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def forget(names: Sequence[str]) -> None:
    """Forgets imported packages."""
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]


@contextmanager
def importing_from(clone: Path) -> Iterator[None]:
    """Imports from a clone, with replacements for packages that it needs only elsewhere."""
    finder = Finder()
    forget(OWN)
    sys.path.insert(0, str(clone))
    sys.meta_path.append(finder)
    # An alias that NumPy removed.
    vars(np)["int"] = int
    try:
        yield
    finally:
        del vars(np)["int"]
        sys.meta_path.remove(finder)
        sys.path.remove(str(clone))
        forget([*OWN, *OPTIONAL])


def commit_of(clone: Path) -> str:
    """The commit of a clone, shortened."""
    done = subprocess.run(["git", "-C", clone, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()[:10]


class Clicked(nn.Module):
    """A network of the RITM family.

    Inputs are the image with the previous mask as its fourth channel, and either two maps of clicks that were drawn outside,
    or the clicks themselves.
    """

    def __init__(self, net: Any, is_drawing: bool) -> None:
        super().__init__()
        self.net = net
        if not is_drawing:
            net.get_coord_features = lambda _, previous, maps: torch.cat((previous, maps), dim=1)

    def forward(self, image: Tensor, clicks: Tensor) -> Tensor:
        logits: Tensor = self.net(image, clicks)["instances"]
        return logits


def ritm(clone: Path, is_drawing: bool = False) -> nn.Module:
    """RITM with HRNet-18."""
    with importing_from(clone):
        model = importlib.import_module("isegm.model.is_hrnet_model").HRNetModel(
            width=18, ocr_width=64, with_aux_output=True, use_leaky_relu=True, use_rgb_conv=False, use_disks=True,
            norm_radius=5, with_prev_mask=True,
        )  # fmt: skip
    return Clicked(model, is_drawing)


def focalclick(clone: Path, version: str) -> nn.Module:
    """FocalClick's coarse network with SegFormer `b0` or `b3`, or HRNet-18s."""
    options: dict[str, Any] = {"use_leaky_relu": True, "use_rgb_conv": False, "use_disks": True, "norm_radius": 5}
    options |= {"with_prev_mask": True, "with_aux_output": True, "pipeline_version": "s2"}
    with importing_from(clone):
        if version == "hrnet18s":
            module = importlib.import_module("isegm.model.is_hrnet_model")
            return Clicked(module.HRNetModel(width=18, ocr_width=48, small=True, **options), False)
        module = importlib.import_module("isegm.model.is_segformer_model")
        return Clicked(module.SegFormerModel(model_version=version, **options), False)


def simpleclick(clone: Path, side: int) -> nn.Module:
    """SimpleClick with ViT-B on squares of `side` pixels."""
    dims = [128, 256, 512, 1024]
    backbone = {"img_size": (side, side), "patch_size": (16, 16), "in_chans": 3, "embed_dim": 768, "depth": 12}
    backbone |= {"num_heads": 12, "mlp_ratio": 4, "qkv_bias": True}
    head = {"in_channels": dims, "in_index": [0, 1, 2, 3], "dropout_ratio": 0.1, "num_classes": 1}
    head |= {"loss_decode": nn.Identity(), "align_corners": False, "upsample": "x1", "channels": 256}
    with importing_from(clone):
        model = importlib.import_module("isegm.model.is_plainvit_model").PlainVitModel(
            use_disks=True, norm_radius=5, with_prev_mask=True, backbone_params=backbone,
            neck_params={"in_dim": 768, "out_dims": dims}, head_params=head,
        )  # fmt: skip
    return Clicked(model, False)


class Propagation(nn.Module):
    """DeAOT's step: a frame, the long-term memory and the previous frame's to logits, and to this frame's memory."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, image: Tensor, key: Tensor, value: Tensor, identity: Tensor, *previous: Tensor
    ) -> tuple[Tensor, ...]:
        features = self.net.encode_image(image)
        size = features[-1].shape[2:]
        near_key, near_value, near_identity = previous
        embeddings, memories, _, _ = self.net.LSTT_forward(
            features, [[key, value, None, identity]], [[near_key, near_value, None, near_identity]], size_2d=tuple(size)
        )
        return (self.net.decode_id_logits(embeddings, features), *memories[0][:2])


def deaot(clone: Path) -> nn.Module:
    """DeAOT-T with MobileNetV2."""
    with importing_from(clone):
        config = importlib.import_module("configs.default").DefaultEngineConfig(model="deaott")
        model = importlib.import_module("networks.models").build_vos_model(config.MODEL_VOS, config)
    return Propagation(model)
