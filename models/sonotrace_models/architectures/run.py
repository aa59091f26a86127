"""The command: tries networks, prints and writes the table."""

import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
import tyro
from tqdm import tqdm

from sonotrace_models.architectures.catalogue import ARCHITECTURES, Architecture
from sonotrace_models.architectures.compare import EXPORTERS, Exporter, Outcome, compare
from sonotrace_models.architectures.networks import random_inputs, randomise
from sonotrace_models.architectures.table import Row, line, markdown, write
from sonotrace_models.data.manifest import DataError


@dataclass
class ArchitecturesConfig:
    """Other people's networks with random weights: exported, compiled with f32 weights, and compared with onnxruntime."""

    names: tyro.conf.Positional[list[str]] = field(default_factory=list)
    """Networks whose names contain one of these texts; all by default."""
    exporter: Literal["torchscript", "dynamo", "both"] = "both"
    markdown: Path | None = None
    """File with the table, in which the rows of these networks are replaced."""
    source: Path | None = None
    """Folder with clones of the repositories whose networks are in no package; without it they are left out."""
    keep: Path | None = None
    """Folder for the graphs, arrays and model files; by default they are deleted."""


def attempt(architecture: Architecture, exporter: Exporter, config: ArchitecturesConfig) -> Outcome:
    """Makes one network and takes it through one exporter."""
    torch.manual_seed(0)
    net = architecture.build((config.source or Path()) / architecture.package).eval()
    randomise(net)
    inputs = random_inputs(architecture.inputs)
    if config.keep is None:
        with tempfile.TemporaryDirectory() as temporary:
            return compare(net, inputs, exporter, Path(temporary))
    folder = config.keep / f"{re.sub(r'[^a-z0-9]+', '-', architecture.name.lower()).strip('-')}-{exporter}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return compare(net, inputs, exporter, folder)


def chosen(names: list[str]) -> list[Architecture]:
    """The networks that are asked for.

    Raises:
        DataError: a name is in none.
    """
    for name in names:
        if not any(name.lower() in architecture.name.lower() for architecture in ARCHITECTURES):
            known = ", ".join(architecture.name for architecture in ARCHITECTURES)
            raise DataError(f"no network is named like {name}; known: {known}")
    wanted = [name.lower() for name in names] or [""]
    return [item for item in ARCHITECTURES if any(name in item.name.lower() for name in wanted)]


def try_architectures(config: ArchitecturesConfig) -> bool:
    """Tries the networks; returns whether all that compiled are right."""
    exporters: tuple[Exporter, ...] = EXPORTERS if config.exporter == "both" else (config.exporter,)
    rows: list[Row] = []
    left_out: list[str] = []
    pairs = [(architecture, exporter) for architecture in chosen(config.names) for exporter in exporters]
    progress = tqdm(pairs, desc="architectures")
    for architecture, exporter in progress:
        missing = architecture.missing(config.source)
        if missing:
            if exporter == exporters[0]:
                left_out.append(f"{architecture.name}: {missing}")
            continue
        progress.set_postfix_str(f"{architecture.name}, {exporter}")
        inputs = ", ".join(f"{'x'.join(map(str, shape))}" for shape in architecture.inputs.values())
        outcome = attempt(architecture, exporter, config)
        rows.append(Row(architecture.name, architecture.version(config.source), inputs, exporter, outcome))
        tqdm.write(" | ".join(rows[-1].cells()))
    print(markdown(line(row.cells()) for row in rows))
    for text in left_out:
        print(f"left out: {text}")
    if config.markdown is not None:
        try:
            write(config.markdown, rows, [architecture.name for architecture in ARCHITECTURES])
        except ValueError as problem:
            raise DataError(str(problem)) from problem
    return all(row.outcome.refusal or row.outcome.is_right for row in rows)
