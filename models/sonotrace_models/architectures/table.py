"""The table of the networks that were tried."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sonotrace_models.architectures.compare import EXPORTERS, Exporter, Outcome

START = "<!-- architectures: this table is written by `python -m sonotrace_models architectures --markdown FILE` -->"
END = "<!-- architectures: end -->"
HEADER = ("architecture", "package", "input", "exporter", "operations", "GMAC", "memory, MB", "file, MB", "error")


@dataclass(frozen=True)
class Row:
    """A network, an exporter, and what became of them."""

    name: str
    version: str
    inputs: str
    exporter: Exporter
    outcome: Outcome

    def cells(self) -> tuple[str, ...]:
        """The texts of a line."""
        outcome = self.outcome
        start = (self.name, self.version, self.inputs, self.exporter)
        if outcome.refusal:
            return (*start, "", "", "", "", f"refused: {outcome.refusal}")
        memory, file = (f"{count / 1e6:.1f}" for count in (outcome.memory_bytes, outcome.file_bytes))
        wrong = "" if outcome.is_right else " **wrong**"
        return (*start, str(outcome.operations), f"{outcome.gmacs:.2f}", memory, file, f"{outcome.error:.1e}{wrong}")


def line(cells: tuple[str, ...]) -> str:
    """A line of a table in Markdown."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def key(text: str) -> tuple[str, str]:
    """Network and exporter of a line."""
    cells = text.split(" | ")
    return (cells[0].removeprefix("| "), cells[3]) if len(cells) == len(HEADER) else ("", "")


def markdown(lines: Iterable[str]) -> str:
    """The table with these lines."""
    return "\n".join([line(HEADER), "|---|---|---|---|--:|--:|--:|--:|---|", *lines])


def write(path: Path, rows: Sequence[Row], order: Sequence[str]) -> None:
    """Writes rows into the table between the two markers in a file; rows of other networks stay.

    Args:
        order: the networks' names in the order of the table.

    Raises:
        ValueError: the file has no such markers.
    """
    text = path.read_text()
    before, start, rest = text.partition(START)
    table, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{path} has no place for the table: add the lines {START} and {END}")
    lines = {key(old): old for old in table.splitlines() if key(old)[0] in order}
    lines |= {(row.name, row.exporter): line(row.cells()) for row in rows}
    places = {name: at for at, name in enumerate(order)}
    ordered = sorted(lines, key=lambda found: (places.get(found[0], len(places)), found[1] != EXPORTERS[0]))
    path.write_text(f"{before}{START}\n\n{markdown(lines[found] for found in ordered)}\n\n{END}{after}")
