"""Stage 2b: SonoSAMLite end to end, on truth and on the teacher's best masks (paper, 2.2.2)."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from sonotrace_models import SIZE
from sonotrace_models.data.augment import Appearance
from sonotrace_models.data.fields import random_view, warp, warp_ids
from sonotrace_models.data.pack import Normalisation, Pack
from sonotrace_models.data.sampling import Sampler, refuse_emphasis, truths
from sonotrace_models.evaluate.clicks import ClickResults, evaluate_clicks
from sonotrace_models.evaluate.segmenters import Segmenter, Student
from sonotrace_models.losses import Taught
from sonotrace_models.nets.sonosam import SonoSamLite, litemedsam
from sonotrace_models.quantize import simulate_int8
from sonotrace_models.train.best_masks import BestMasks
from sonotrace_models.train.interactive import Prompting, interactive_loss
from sonotrace_models.train.precision import reduced
from sonotrace_models.train.run import Run, Schedule
from sonotrace_models.weights import with_weights

VALIDATED_PER_SET = 24
VALIDATED_CLICKS = 5


@dataclass
class StudentConfig:
    """Stage 2b: SonoSAMLite."""

    pack: Path = Path("work/pack")
    encoder: Path | None = Path("work/runs/encoder/best.pt")
    """Initial weights of the encoder; None for random ones."""
    start: Path | None = None
    """A whole student to start from, instead of an encoder."""
    best_masks: Path | None = Path("work/best_masks")
    """The teacher's best masks, for distillation; None trains on truth alone."""
    folder: Path = Path("work/runs/student")
    sets: list[str] | None = None
    """Sets to learn from; all by default."""
    emphasis: dict[str, float] = field(default_factory=dict)
    """Factors on the probability of sets: `--emphasis CAMUS 2`."""
    natural_normalisation: bool = False
    """Mean and standard deviation of natural images (ImageNet) rather than of ultrasound: for the ablation."""
    int8: bool = False
    """Quantization-aware training, in int8 as planned for the runtime."""
    objects_per_image: int = 2
    view_strength: float = 1.0
    """Strength of geometric augmentation."""
    depth_dropped: float = 0.0
    """Share of images that skip a branch of the encoder's last block; smaller shares skip those of earlier blocks."""
    prompting: Prompting = field(default_factory=lambda: Prompting(distillation_weight=1.0))
    schedule: Schedule = field(default_factory=lambda: Schedule(steps=12000))


IMAGENET = Normalisation(mean=0.449, std=0.226)
"""Means of ImageNet's three channels' statistics."""


class Interactive(nn.Module):
    """The student's loss on a batch, in one module, so that it can be distributed over devices."""

    def __init__(
        self, net: SonoSamLite, prompting: Prompting, generator: Generator, numbers: np.random.Generator
    ) -> None:
        super().__init__()
        self.net, self.prompting = net, prompting
        self.generator, self.numbers = generator, numbers

    def forward(self, image: Tensor, truth: Tensor, taught: Taught | None) -> tuple[Tensor, dict[str, Tensor]]:
        """`image` [batch, 1, 256, 256]; `truth` [batch * objects, 256, 256], image by image; `taught` has the rows of
        `truth`."""
        per_image = len(truth) // len(image)
        features = [part.repeat_interleave(per_image, 0) for part in self.net.encoder(image)]
        return interactive_loss(
            lambda prompt: self.net.decoder(*features, prompt),
            truth,
            self.net.decoder.mask_side,
            self.prompting,
            self.generator,
            self.numbers,
            taught,
        )


def new_student(encoder: Path | None, normalisation: Normalisation) -> SonoSamLite:
    """A student with LiteMedSAM's decoder weights, and with a distilled encoder's if given."""
    net = SonoSamLite()
    net.encoder.adopt(normalisation)
    _, prompt_encoder, mask_decoder = litemedsam()
    net.decoder.load_litemedsam(prompt_encoder, mask_decoder)
    if encoder is not None:
        with_weights(net.encoder, encoder)
    return net


def validation_objects(pack: Pack, sets: list[str] | None = None) -> list[tuple[int, int]]:
    """A fixed sample of objects of each set's val split."""
    chosen: list[tuple[int, int]] = []
    for name in pack.set_names if sets is None else sets:
        found = pack.objects("val", [name])
        order = np.random.default_rng(0).permutation(len(found))[:VALIDATED_PER_SET]
        chosen += [found[at] for at in sorted(order)]
    return chosen


def score(results: ClickResults) -> tuple[float, dict[str, float]]:
    """The figure that selects the best weights, and the figures for the log."""
    mean = results.table()["mean"]
    figures = {f"val_{key}": value for key, value in mean.items()}
    return float(np.mean([mean[key] for key in ("1", "3", "5", "box")])), figures


def validate(segmenter: Segmenter, pack: Pack, sets: list[str] | None) -> tuple[float, dict[str, float]]:
    """Runs the evaluation's protocol on `validation_objects`."""
    results = evaluate_clicks(
        segmenter, pack, validation_objects(pack, sets), clicks_max=VALIDATED_CLICKS, is_quiet=True
    )
    return score(results)


def train_student(config: StudentConfig) -> None:
    """Runs the stage."""
    pack = Pack(config.pack)
    pack.require(config.sets)
    refuse_emphasis(config.emphasis, config.sets or pack.set_names)
    best_masks = BestMasks(config.best_masks, pack) if config.best_masks else None
    if config.start is not None:
        net = with_weights(SonoSamLite(), config.start)
    else:
        net = new_student(config.encoder, pack.normalisation)
    if config.natural_normalisation:
        net.encoder.adopt(IMAGENET)
    if config.int8:
        net = simulate_int8(net)
    net.encoder.drop_depth(config.depth_dropped)
    objective = Interactive(net, config.prompting, torch.Generator(), np.random.default_rng())
    run = Run(config.folder, config, config.schedule, net, objective)
    objective.generator, objective.numbers = run.generators()
    generator, numbers = objective.generator, objective.numbers
    sampler = Sampler(pack, numbers, config.sets, config.emphasis)
    appearance = Appearance().to(run.device)
    if config.schedule.compiled:
        net.encoder.compile()
        net.decoder.compile()
    for _ in run.steps(lambda: _validated(run, pack, config.sets)):
        images = sampler.draw(config.schedule.batch)
        objects = sampler.objects(images, config.objects_per_image)
        grey, ids = sampler.pixels(images, run.device)
        view = random_view(generator, len(images), config.view_strength)
        grey, ids = warp(grey, view), warp_ids(ids, view)
        truth = truths(ids, objects)
        taught = None
        if best_masks is not None:
            maps, is_there = best_masks.get(images, objects, run.device)
            # The masks of an image are its channels here, so that they are warped with it.
            maps = warp(maps, view).reshape(-1, 1, SIZE, SIZE)
            taught = Taught(F.avg_pool2d(maps, SIZE // net.decoder.mask_side), is_there.flatten())
        image = net.encoder.normalise(appearance(grey, generator))
        loss, logged = run.net(image.contiguous(memory_format=torch.channels_last), truth, taught)
        run.backward(loss, **logged)


def _validated(run: Run[SonoSamLite], pack: Pack, sets: list[str] | None) -> tuple[float, dict[str, float]]:
    averaged = run.kept
    with reduced(run.device):
        return validate(Student(averaged, pack), pack, sets)
