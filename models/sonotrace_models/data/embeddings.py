"""The teacher's image embeddings, computed once: its encoder costs as much as sixteen students.

A folder holds `embeddings.npy` (f16, [entry, 256, 64, 64]), and `done.npy` (u8, [entry]). Entries are the images of the
train split, of the val and test splits, and the train split mirrored, in this order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.nets.sonosam import TEACHER_GRID, SonoSam, litemedsam_input

CHANNELS = 256


@dataclass(frozen=True)
class Entry:
    """One embedding."""

    image: int
    """Index in the pack."""
    is_mirrored: bool


def entries(pack: Pack) -> list[Entry]:
    """What is embedded, in order."""
    plain = [Entry(index, False) for split in ("train", "val", "test") for index in pack.select(split)]
    return plain + [Entry(index, True) for index in pack.select("train")]


class Embeddings:
    """A folder of embeddings, mapped."""

    def __init__(self, folder: Path, pack: Pack) -> None:
        """Maps the arrays.

        Raises:
            DataError: the folder holds none, or those of another pack.
        """
        if not (folder / "done.npy").is_file():
            raise DataError(f"{folder} holds no embeddings: run `python -m sonotrace_models embed` first")
        self.entries = entries(pack)
        self.values: npt.NDArray[np.float16] = np.load(folder / "embeddings.npy", mmap_mode="r")
        self.done: npt.NDArray[np.uint8] = np.load(folder / "done.npy")
        if len(self.done) != len(self.entries):
            raise DataError(f"{folder} holds {len(self.done)} embeddings, the pack needs {len(self.entries)}")
        self.at = {(entry.image, entry.is_mirrored): at for at, entry in enumerate(self.entries) if self.done[at]}

    def get(self, keys: list[tuple[int, bool]]) -> Tensor:
        """[len(keys), 256, 64, 64] of images, mirrored or not."""
        return torch.from_numpy(np.stack([self.values[self.at[key]] for key in keys])).float()


def embed(pack: Pack, folder: Path) -> None:
    """Computes what is missing; can be stopped and started again."""
    wanted = entries(pack)
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(wanted), CHANNELS, TEACHER_GRID, TEACHER_GRID)
    fresh = not (folder / "done.npy").exists()
    mode = "w+" if fresh else "r+"
    values = np.lib.format.open_memmap(folder / "embeddings.npy", mode, np.float16, shape)
    done = np.lib.format.open_memmap(folder / "done.npy", mode, np.uint8, (len(wanted),))
    encode = encoder()
    missing = [at for at in range(len(wanted)) if not done[at]]
    for at in tqdm(missing, desc="embed", mininterval=5):
        item = pack.items[wanted[at].image]
        grey = torch.from_numpy(pack.images[wanted[at].image].astype(np.float32) / 255)[None, None]
        stretched = litemedsam_input(grey, torch.tensor([[item.columns, item.rows]]))
        if wanted[at].is_mirrored:
            stretched = mirrored(stretched, item.columns)
        values[at] = encode(stretched)[0].numpy()
        done[at] = 1
    values.flush()
    done.flush()


def mirrored(image: Tensor, columns: int) -> Tensor:
    """Left and right exchanged within the valid columns, so that padding stays on the right."""
    return torch.cat([image[..., :columns].flip(-1), image[..., columns:]], -1)


def encoder() -> Callable[[Tensor], Tensor]:
    """LiteMedSAM's image encoder on the fastest thing here: a GPU, or OpenVINO in bf16 (a third of torch's time)."""
    net = SonoSam().encoder.eval()
    if torch.cuda.is_available():
        net = net.cuda()

        @torch.no_grad()
        def on_gpu(image: Tensor) -> Tensor:
            return net(image.cuda()).float().cpu()

        return on_gpu

    import openvino

    example = torch.zeros(1, 3, 256, 256)
    model = openvino.convert_model(net, example_input=example, input=[1, 3, 256, 256])
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    return lambda image: torch.from_numpy(compiled(image.numpy())[0])
