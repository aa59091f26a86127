"""The command line: `python -m sonotrace_models STAGE --help`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union

import torch
import tyro
from torch import nn

from sonotrace_models import options, provenance
from sonotrace_models.architectures.run import ArchitecturesConfig, try_architectures
from sonotrace_models.data.embeddings import embed
from sonotrace_models.data.hard_sheets import make_hard_loops
from sonotrace_models.data.loops import make_loops
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack, pack
from sonotrace_models.evaluate.loop_pictures import LoopPicturesConfig, write_loop_pictures
from sonotrace_models.evaluate.report import CineConfig, ClicksConfig, evaluate_cine, evaluate_segmenters
from sonotrace_models.evaluate.runs import RunsConfig, compare_runs
from sonotrace_models.export import ExportConfig, export
from sonotrace_models.nets.sonosam import SonoSam, SonoSamLite
from sonotrace_models.nets.tracker import Tracker
from sonotrace_models.train.best_masks import BestMasksConfig, make_best_masks
from sonotrace_models.train.confidence import ConfidenceConfig, train_confidence
from sonotrace_models.train.encoder import EncoderConfig, train_encoder
from sonotrace_models.train.motion import MotionConfig, train_motion
from sonotrace_models.train.sonosam import SonoSamConfig, WholeSonoSamConfig, train_sonosam, train_whole_sonosam
from sonotrace_models.train.student import StudentConfig, train_student
from sonotrace_models.train.tracker import TrackerConfig, train_tracker
from sonotrace_models.weights import keep_weights, with_weights

PROGRAM = "python -m sonotrace_models"


@dataclass
class PackConfig:
    """Stage 0: resamples all images of one or more data folders to the input grid."""

    data: list[Path]
    """Folders with MANIFEST.csv, a folder per set and, if the ids to follow have names, loops.json."""
    out: Path = Path("work/pack")


@dataclass
class EmbedConfig:
    """Stage 1a: the teacher's image embeddings, computed once."""

    pack: Path = Path("work/pack")
    out: Path = Path("work/embeddings")
    sets: list[str] | None = None
    """Sets whose train split is embedded; all by default."""
    train_most: int | None = None
    """Number of train images, a random sample; all by default."""
    is_mirroring: bool = True
    """Also embed the train images mirrored."""
    batch: int = 1
    """Images per batch; 32 is fast on a GPU."""


@dataclass
class LoopsConfig:
    """Loops with truth on every frame, of all sets with pairs of frames or with cines, to train and evaluate the tracker."""

    pack: Path = Path("work/pack")
    out: Path = Path("work/loops")
    hard: bool = False
    """Also hard loops of all sets (sliding probe, shadows, depth, gain, air, another patient): a list for each split, and
    pictures."""


@dataclass
class KeepConfig:
    """Saves trained weights in 8 bits, for distribution and further training."""

    student: Path | None = None
    tracker: Path | None = None
    teacher: Path | None = None
    """Weights of SonoSAM: of its decoder, or of the whole network."""
    out: Path = Path("work/weights")


STAGES: dict[str, type[Any]] = {
    "pack": PackConfig,
    "embed": EmbedConfig,
    "loops": LoopsConfig,
    "sonosam": SonoSamConfig,
    "sonosam-whole": WholeSonoSamConfig,
    "best-masks": BestMasksConfig,
    "encoder": EncoderConfig,
    "student": StudentConfig,
    "motion": MotionConfig,
    "tracker": TrackerConfig,
    "confidence": ConfidenceConfig,
    "clicks": ClicksConfig,
    "cine": CineConfig,
    "loop-pictures": LoopPicturesConfig,
    "runs": RunsConfig,
    "keep": KeepConfig,
    "export": ExportConfig,
    "architectures": ArchitecturesConfig,
}
"""Configurations by the stage's name."""


def read_arguments(arguments: Sequence[str]) -> Any:
    """The configuration of the stage that the first argument names."""
    if arguments and arguments[0] in STAGES:
        stage, *rest = arguments
        return options.parse(STAGES[stage], rest, f"{PROGRAM} {stage}")
    # The list of stages, for `--help` and for a name that is none.
    stages = [Annotated[config, tyro.conf.subcommand(name)] for name, config in STAGES.items()]
    any_stage: Any = Union[tuple(stages)]  # noqa: UP007
    return tyro.cli(any_stage, prog=PROGRAM, args=arguments)


def keep(config: KeepConfig) -> None:
    """Writes `sonosamlite`, `tracker` and `sonosam.safetensors`, each if its weights are given."""
    nets: list[tuple[str, nn.Module, Path]] = []
    if config.student is not None:
        nets.append(("sonosamlite", with_weights(SonoSamLite(), config.student), config.student))
    if config.tracker is not None:
        nets.append(("tracker", with_weights(Tracker(), config.tracker), config.tracker))
    if config.teacher is not None:
        teacher = SonoSam()
        teacher.load(config.teacher)
        nets.append(("sonosam", teacher.decoder if teacher.has_public_encoder else teacher, config.teacher))
    for name, net, weights in nets:
        path = config.out / f"{name}.safetensors"
        # Read before it is written: the file may be the one that is kept again.
        record = provenance.of_kept(weights)
        keep_weights(net, path, {provenance.KEY: provenance.as_text(record)})
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one stage, by default with the command line's arguments. Returns 2 on a `DataError`, and 1 if a network is computed
    wrongly."""
    torch.set_float32_matmul_precision("high")
    try:
        match config := read_arguments(sys.argv[1:] if arguments is None else arguments):
            case PackConfig():
                pack(config.data, config.out)
            case EmbedConfig():
                embed(Pack(config.pack), config.out, config.sets, config.train_most, config.is_mirroring, config.batch)
            case LoopsConfig():
                make_loops(Pack(config.pack), config.out)
                if config.hard:
                    make_hard_loops(Pack(config.pack), config.out)
            case SonoSamConfig():
                train_sonosam(config)
            case WholeSonoSamConfig():
                train_whole_sonosam(config)
            case BestMasksConfig():
                make_best_masks(config)
            case EncoderConfig():
                train_encoder(config)
            case StudentConfig():
                train_student(config)
            case MotionConfig():
                train_motion(config)
            case TrackerConfig():
                train_tracker(config)
            case ConfidenceConfig():
                train_confidence(config)
            case ClicksConfig():
                evaluate_segmenters(config)
            case CineConfig():
                evaluate_cine(config)
            case LoopPicturesConfig():
                write_loop_pictures(config)
            case RunsConfig():
                compare_runs(config)
            case KeepConfig():
                keep(config)
            case ExportConfig():
                export(config)
            case ArchitecturesConfig():
                return 0 if try_architectures(config) else 1
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
