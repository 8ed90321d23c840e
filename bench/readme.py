"""The README's section of figures, made from a report and from nothing else."""

import re
from pathlib import Path

from bench.plan import WARM_UP_SECONDS
from bench.records import Report
from bench.tables import measured_on, row

_BEGIN = "<!-- measured: "
_END = "<!-- end of measured -->"
_SECTION = re.compile(rf"{re.escape(_BEGIN)}(?P<source>\S+) -->\n.*?{re.escape(_END)}\n", re.DOTALL)
_HEADING = "## Measured"
# Where the section goes when there is none yet: before the last lines, which point elsewhere.
_BEFORE = re.compile(r"^More: ", re.MULTILINE)

# The same figure under a condition: shown where it misses its bar, else the report has it.
_VARIANT = re.compile(r", xid open(:|$)|snapshot held")
_LATENCIES = f"Latencies without the first {WARM_UP_SECONDS:g} s of a load, in which an idle relay wakes up."


class NotForReadmeError(Exception):
    """The report does not hold what the README claims."""


def section(report: Report, source: str) -> str:
    """Return the whole section, markers included; ``source`` is the report's path in the project.

    Raises:
        NotForReadmeError: the run was quick, partial, or had wrong results.
    """
    if not report.plan.is_complete():
        raise NotForReadmeError("only a full run is shown: run `make bench`")
    if report.wrong:
        raise NotForReadmeError(f"the run had wrong results: {report.wrong[0]}")
    rows = [
        row(figure)
        for figure in report.figures
        if figure.value is not None
        and figure.bar is not None
        and (figure.is_missed() or not _VARIANT.search(figure.name))
    ]
    lines = [
        f"{_BEGIN}{source} -->",
        f"By `make bench`, everything on the same cores: {measured_on(report)}. {_LATENCIES} [All figures]({source}).",
        "",
        "| figure | median | rounds | bar | |",
        "|---|---:|---:|---:|---|",
        *(f"| {' | '.join(cells)} |" for cells in rows),
        "",
        f"![chart]({Path(source).with_suffix('.svg').as_posix()})",
        _END,
    ]
    return "\n".join(lines) + "\n"


def source_of(readme: str) -> str | None:
    """Return the report that a README shows; None when it shows none."""
    found = _SECTION.search(readme)
    return found["source"] if found else None


def shown_in(readme: str) -> str | None:
    """Return the section of a README, markers included."""
    found = _SECTION.search(readme)
    return found[0] if found else None


def rewritten(readme: str, text: str) -> str:
    """Return the README with this section in the place of the old one, or in a new place."""
    if _SECTION.search(readme):
        return _SECTION.sub(lambda _: text, readme)
    at = found.start() if (found := _BEFORE.search(readme)) else len(readme)
    return f"{readme[:at].rstrip()}\n\n{_HEADING}\n\n{text}\n{readme[at:]}".rstrip() + "\n"
