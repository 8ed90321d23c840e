"""What people see while the demo runs: bars on a terminal, plain lines everywhere else."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.spinner import Spinner
from rich.text import Text

from sandbox.demo_watch import Figures

_LINE_EVERY_SECONDS = 2.0


class Screen:
    """Shows progress on a console, in the way that the console allows."""

    def __init__(self, console: Console, *, orders: int, kills: int, begun_at: float) -> None:
        self._console = console
        self._begun_at = begun_at
        self._kills = kills
        self._step = "starting"
        self._figures = Figures()
        self._line_at = float("-inf")
        self._bars = Progress(TextColumn("{task.description:>12}"), BarColumn(bar_width=40), MofNCompleteColumn())
        self._tasks = {name: self._bars.add_task(name, total=orders) for name in _bars(self._figures)}
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def seconds(self) -> float:
        """Tell the seconds since the demo began."""
        return time.monotonic() - self._begun_at

    def step(self, text: str) -> None:
        """Say what is being done from now on."""
        self._step = text
        if not self._console.is_terminal:
            self.say(text)

    def say(self, text: str) -> None:
        """Say what has happened."""
        self._console.print(f"{self.seconds():5.1f} s  {text}", markup=False, highlight=False, soft_wrap=True)

    def show(self, figures: Figures) -> None:
        """Show how far everything is; without a terminal, from time to time."""
        self._figures = figures
        for name, count in _bars(figures).items():
            self._bars.update(self._tasks[name], completed=count)
        if not self._console.is_terminal and self.seconds() - self._line_at >= _LINE_EVERY_SECONDS:
            self._line_at = self.seconds()
            self.say(" · ".join(f"{name} {count}" for name, count in _bars(figures).items()))

    def _render(self) -> RenderableType:
        figures = self._figures
        kills = (
            f"kill -9: relay {figures.relay_kills}/{self._kills} · consumer {figures.consumer_kills}/{self._kills}"
            f" · RabbitMQ {figures.rabbitmq_kills} · rolled back by the ERP: {figures.rolled_back}"
        )
        now = Spinner("dots", Text(f"{self.seconds():5.1f} s  {self._step}"))
        return Group(self._bars, Text(kills, style="dim"), now)


def _bars(figures: Figures) -> dict[str, int]:
    return {
        "committed": figures.committed,
        "on the wire": figures.on_the_wire,
        "effects": figures.effects,
        "applied": figures.applied,
    }
