"""The settings as a person may see them: secrets masked, everything else as it would stand in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

import yaml
from pydantic import BaseModel, SecretStr

from outbox.config.expected import Expected, Kind, expected_in, is_credential_name, is_secret
from outbox.config.flows import AdapterChoice
from outbox.config.quantities import bytes_text, seconds_text
from outbox.config.scalars import AmbiguousScalarError, plain_scalar
from outbox.config.settings import Settings

MASK = "***"
# Addresses of these are secrets for their password only; the rest is what one wants to see.
_SHOWN_SCHEMES = ("postgresql://", "postgres://", "amqp://", "amqps://")
_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>.*)@(?P<rest>[^@]*)", re.DOTALL)
_SECRET_PARAMETER = re.compile(
    r"(?P<name>[?&;][^=&;#]*(?:pass|secret|token|key|auth|signature)[^=&;#]*=)[^&;#]*", re.IGNORECASE
)


def effective(settings: Settings) -> dict[str, object]:
    """Return every setting with its value, as plain data without a secret in it."""
    return _fields(settings)


def effective_yaml(settings: Settings) -> str:
    """Return the same as text in the form of the settings file."""
    return yaml.dump(effective(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def masked_url(url: str) -> str:
    """Return an address without its password and without parameters that look like credentials.

    Whatever stands before the last ``@`` counts as user and password: an unescaped character in a password
    must not make a part of it visible.
    """
    if "://" not in url:
        return url
    match = _USER.fullmatch(url)
    if match is not None:
        user, colon, _ = match["user"].partition(":")
        # A user of HTTP without a password is a token as often as a name.
        is_token = not colon and match["scheme"].startswith("http")
        url = f"{match['scheme']}{MASK if is_token else user}{f':{MASK}' if colon else ''}@{match['rest']}"
    return _SECRET_PARAMETER.sub(rf"\g<name>{MASK}", url)


def _fields(model: BaseModel) -> dict[str, object]:
    if isinstance(model, AdapterChoice):
        return {"use": model.use, "connection": model.connection, **_fields(model.settings)}
    top = [Expected(type(model))]
    return {
        field.alias or name: _shown(getattr(model, name), expected_in(top, name))
        for name, field in type(model).model_fields.items()
        # A default that stands for "not given" must not come back as given.
        if name in model.model_fields_set or getattr(model, name) is not None
    }


def _shown(value: object, expected: list[Expected]) -> object:
    match value:
        case BaseModel():
            return _fields(value)
        case Mapping():
            return {
                str(key): MASK
                if isinstance(child, str) and is_credential_name(str(key))
                else _shown(child, expected_in(expected, str(key)))
                for key, child in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [_shown(child, expected_in(expected, index)) for index, child in enumerate(value)]
        case None | bool():
            return value
        case Decimal() if not expected or any(one.annotation is not Decimal for one in expected):
            # Where text can stand as well, quotes would make it text.
            return value
        case int() | float():
            return _number(value, {one.kind for one in expected})
        case _:
            return _text(value, is_of_secret_kind=is_secret(expected))


def _number(value: float, kinds: set[Kind]) -> object:
    if Kind.DURATION in kinds:
        return seconds_text(value)
    return bytes_text(int(value)) if Kind.SIZE in kinds else value


def _text(value: object, *, is_of_secret_kind: bool) -> str:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return masked_url(text) if text.startswith(_SHOWN_SCHEMES) else MASK
    return MASK if is_of_secret_kind else masked_url(str(value))


class _Dumper(yaml.SafeDumper):
    """Quotes every text that our own reading of YAML would not take for that text."""

    def ignore_aliases(self, data: object) -> bool:
        """Write equal values out each time; nobody reads anchors in a report."""
        return data is not None


def _text_node(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    escaped = text.replace("${", "$${")
    try:
        is_plain = plain_scalar(escaped) == escaped
    except AmbiguousScalarError:
        is_plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", escaped, style=None if is_plain else '"')


def _fraction_node(dumper: _Dumper, number: Decimal) -> yaml.ScalarNode:
    text = format(number, "f")
    return dumper.represent_scalar(f"tag:yaml.org,2002:{'float' if '.' in text else 'int'}", text)


_Dumper.add_representer(str, _text_node)
_Dumper.add_representer(Decimal, _fraction_node)
