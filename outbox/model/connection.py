"""How a target system is reached over HTTP; the same for every HTTP adapter."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from outbox.model.units import Bytes, Seconds


class Connection(BaseModel):
    """One target system: address, credentials and limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")]
    bearer: SecretStr | None = None
    connect_timeout: Annotated[Seconds, Field(gt=0)] = 5.0
    timeout: Annotated[Seconds, Field(gt=0)] = 30.0
    max_connections: Annotated[int, Field(ge=1, le=1000)] = 20
    max_answer_bytes: Annotated[Bytes, Field(ge=1024)] = 1024 * 1024
