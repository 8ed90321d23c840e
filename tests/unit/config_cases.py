"""What the tests of the configuration share: an adapter's settings, a complete file, and a way to its problems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from outbox.config.load import load
from outbox.config.problems import ConfigProblems
from outbox.config.settings import Settings
from outbox.model.units import Seconds

URLS = {"OUTBOX_PG_URL": "postgresql://relay:pg-password@db/erp", "OUTBOX_AMQP_URL": "amqp://relay:mq-password@mq/"}


def _header_name(name: str) -> str:
    if name == "Host":
        raise ValueError(f"{name} is set by the adapter")
    return name


HeaderName = Annotated[str, Field(pattern="^[A-Za-z-]+$"), AfterValidator(_header_name)]


class Basic(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str
    password: SecretStr


class RestSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["POST", "PUT"] = "POST"
    path: str
    window: Annotated[Seconds, Field(gt=0, le=86400)] = 3600.0
    signing_key: Annotated[SecretStr, Field(min_length=8)] | None = None
    login: Basic | None = None
    copies: Annotated[int, Field(ge=1)] = 1
    headers: dict[HeaderName, Annotated[str, Field(pattern="^[a-z0-9-]+$")]] = {}

    @model_validator(mode="after")
    def _check(self) -> RestSettings:
        if self.method == "PUT" and self.copies > 1:
            raise ValueError(f"PUT makes no copies (in {self.path}, {self.login})")
        return self


class OdooSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    database: str


ADAPTERS: Mapping[str, type[BaseModel]] = {"rest": RestSettings, "odoo": OdooSettings}

COMPLETE = """\
postgres:
  statement_timeout: 5s
rabbitmq:
  max_payload_bytes: 1MiB
connections:
  crm:
    base_url: https://crm.example.com/api
    bearer: ${CRM_TOKEN}
flows:
  orders-to-crm:
    description: Confirmed orders become deals
    owner: {business: sales@example.com, technical: it@example.com}
    events: [order.confirmed, 'stock.*.#']
    adapter:
      use: rest
      connection: crm
      path: /deals
      login: {user: sidecar, password: s3cret-password}
    mapping:
      - {source_field: order.id, target_field: reference, required: true}
      - {target_field: stage, default: won}
      - {target_field: note, default: null}
    retry: {attempts: 3, first: 250ms}
"""


def settings_of(text: str, directory: Path, environ: Mapping[str, str] = URLS) -> Settings:
    path = directory / "outbox.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path=path, environ=environ, adapters=ADAPTERS)


def problems_of(text: str | None, directory: Path, environ: Mapping[str, str] = URLS) -> list[str]:
    """Return the messages, with the file called outbox.yaml wherever it is."""
    path = None if text is None else directory / "outbox.yaml"
    if path is not None and text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    try:
        load(path=path, environ=environ, adapters=ADAPTERS)
    except ConfigProblems as error:
        return [str(problem).replace(f"{directory}/", "") for problem in error.problems]
    return []
