"""Who is written to when something is wrong, over which channels, and how often."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from outbox.config.rabbitmq import DAY_SECONDS
from outbox.config.rules import broken_rule, check_duration_order, matching
from outbox.config.strict import Strict
from outbox.model.addresses import ADDRESS, OWNER_WORDS
from outbox.model.units import Seconds

_YEAR_SECONDS = 366 * DAY_SECONDS
_EXAMPLE = "https://hooks.example.com/T0/B0/x, or smtps://user:password@mail.example.com"
_MAIL = ("smtp", "smtps")
_SCHEMES = ("https", "http", *_MAIL)

ChannelName = Annotated[
    str,
    matching(
        r"[a-z][a-z0-9-]{0,62}",
        "must be at most 63 small letters, digits and hyphens, a letter first, for example ops",
    ),
]
_Address = Annotated[str, matching(ADDRESS, "must be an address such as ops@example.com")]
_Recipient = Annotated[
    str,
    matching(
        rf"{'|'.join(OWNER_WORDS)}|{ADDRESS}",
        f"must be an address such as ops@example.com, or {' or '.join(OWNER_WORDS)}",
    ),
]


def _check_url(url: SecretStr) -> SecretStr:
    """Refuse what no message can be sent to; nothing of it is quoted."""
    text = url.get_secret_value()
    if any(character.isspace() or not character.isprintable() for character in text):
        raise broken_rule("must not contain spaces or line breaks; in a password write them as %20 and so on")
    try:
        parts = urlsplit(text)
        # As a resolver takes it: no label of it is empty, or longer than 63 bytes.
        is_complete = bool((parts.hostname or "").encode("idna")) and parts.port != 0
    except ValueError:
        is_complete = False
    if not text.startswith(tuple(f"{scheme}://" for scheme in _SCHEMES)) or not is_complete:
        raise broken_rule(
            f"must begin with {', '.join(f'{scheme}://' for scheme in _SCHEMES)}, name a host, and a port only as a "
            f"number; for example {_EXAMPLE}"
        )
    if parts.scheme in _MAIL and (parts.path.strip("/") or parts.query or parts.fragment):
        raise broken_rule("must end behind the host and port of the mail server")
    if parts.scheme in _MAIL and (parts.username is None) != (parts.password is None):
        raise broken_rule("must have both user and password, or neither")
    return url


def _check_token(token: SecretStr | None) -> SecretStr | None:
    """Refuse what no header takes; nothing of it is quoted."""
    text = "" if token is None else token.get_secret_value()
    if not text.isascii() or any(character.isspace() or not character.isprintable() for character in text):
        raise broken_rule("must be letters, digits and signs of ASCII, without spaces or line breaks, also at its end")
    return token


class Channel(Strict):
    """One way to people: a chat or a program over HTTP, or a mail server."""

    url: Annotated[
        SecretStr,
        AfterValidator(_check_url),
        Field(description="Where notices are sent: https:// for chats and programs, smtps:// or smtp:// for mail."),
    ]
    format: Annotated[
        Literal["slack", "json"] | None,
        Field(description="What is posted: text as Slack, Mattermost and others take it, or JSON; null: slack."),
    ] = None
    token: Annotated[
        SecretStr | None,
        AfterValidator(_check_token),
        Field(min_length=1, description="Sent as Authorization: Bearer, with https:// only."),
    ] = None
    sender: Annotated[_Address | None, Field(description="From whom mail comes.")] = None
    recipients: Annotated[
        tuple[_Recipient, ...],
        Field(
            max_length=50,
            description="To whom mail goes: addresses, and owner.business or owner.technical for those of the flow.",
        ),
    ] = ()
    starttls: Annotated[
        bool, Field(description="Whether smtp:// must turn to TLS before anything is said; never without, with a user.")
    ] = True
    # Less than a process has for its drain, unless told otherwise.
    timeout: Annotated[Seconds, Field(gt=0, le=15, description="How long sending one message may take.")] = 10.0

    @property
    def is_mail(self) -> bool:
        """Say whether it writes mail."""
        return urlsplit(self.url.get_secret_value()).scheme in _MAIL

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        parts = urlsplit(self.url.get_secret_value())
        if self.is_mail:
            for field in ("sender", "recipients"):
                if not getattr(self, field):
                    raise broken_rule("required: url is a mail server", field=field)
            for field in ("format", "token"):
                if getattr(self, field) is not None:
                    raise broken_rule("has no meaning here: url is a mail server", field=field)
            if not self.starttls and parts.scheme == "smtp" and parts.username is not None:
                raise broken_rule(
                    "must be true where url has a password, which would travel as it is", field="starttls"
                )
            return self
        for field in ("sender", "recipients"):
            if getattr(self, field):
                raise broken_rule("is for mail servers: url is none", field=field)
        if self.token is not None and parts.scheme != "https":
            raise broken_rule("needs https://, or it would travel as it is", field="token")
        if self.token is not None and parts.username is not None:
            raise broken_rule("must not be set beside a user in url: both are sent as Authorization", field="token")
        return self


class AlertSettings(Strict):
    """Who is told when something is wrong, and when it is over."""

    channels: Annotated[
        dict[ChannelName, Channel], Field(default_factory=dict, description="Ways to people, by name; none: only logs.")
    ]
    to: Annotated[
        tuple[str, ...],
        Field(description="The channels of flows that name none in alert.to, and of what belongs to no flow."),
    ] = ()
    wait: Annotated[
        Seconds,
        Field(ge=0, le=3600, description="How long a first notice waits for others, so that they travel together."),
    ] = 30.0
    every: Annotated[
        Seconds, Field(ge=0, le=DAY_SECONDS, description="The least time between two messages to the same people.")
    ] = 300.0
    repeat_every: Annotated[
        Seconds, Field(gt=0, le=30 * DAY_SECONDS, description="How often is told again what is still so.")
    ] = 4 * 3600.0
    over_after: Annotated[
        Seconds, Field(ge=0, le=DAY_SECONDS, description="For how long all must be well before it is called over.")
    ] = 120.0
    circuit_open_after: Annotated[
        Seconds, Field(ge=0, le=DAY_SECONDS, description="A target that is left alone for longer is told.")
    ] = 300.0
    unpublished_after: Annotated[
        Seconds, Field(gt=0, le=DAY_SECONDS, description="A committed event that is not published for longer is told.")
    ] = 300.0
    check_every: Annotated[
        Seconds, Field(gt=0, le=600, description="Pause between two looks whether something is to be told.")
    ] = 15.0
    keep: Annotated[
        Seconds, Field(ge=3600, le=_YEAR_SECONDS, description="How long alerts that are over can be looked up.")
    ] = 30.0 * DAY_SECONDS
    link: Annotated[
        Annotated[str, matching(r"https?://[^\s]+", "must be an address such as https://grafana.example.com/d/outbox")]
        | None,
        Field(description="Where to look, told with every alert; {flow} stands for the flow's name."),
    ] = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        check_duration_order(self, larger="repeat_every", smaller="every")
        return self
