"""When a running process reads its settings again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from outbox.config.strict import Strict
from outbox.model.units import Seconds


class ReloadSettings(Strict):
    """When a running process reads its settings again; SIGHUP always does."""

    on_change: Annotated[bool, Field(description="Also when one of the files that were read has changed.")] = True
    check_every: Annotated[
        Seconds, Field(gt=0, le=3600, description="Pause between two looks; two alike are a change that is complete.")
    ] = 5.0
