"""The settings of logs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from outbox.config.strict import Strict


class LogSettings(Strict):
    """What is logged, and how it looks."""

    format: Annotated[Literal["json", "console"], Field(description="For machines or for people.")] = "console"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="The least level that is logged.")
    ] = "info"
