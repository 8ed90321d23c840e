import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from outbox.config.show import effective
from outbox.model.connection import Connection
from tests.unit.config_cases import problems_of, settings_of

TOKEN_URL = "https://login.example.com/token"
CLIENT: dict[str, object] = {"token_url": TOKEN_URL, "client_id": "a", "client_secret": "CANARY"}


@pytest.mark.parametrize(
    ("changed", "place", "problem"),
    [
        ({"proxy": "https://u:CANARY@proxy"}, "proxy", "must be the http:// address of the proxy"),
        ({"proxy": "http://u:CANARY@proxy/path"}, "proxy", "must be the http:// address of the proxy"),
        ({"proxy": "u:CANARY@proxy"}, "proxy", "must begin with http:// or https://"),
        ({"tls": {"key_file": "/k.pem"}}, "tls.key_file", "needs the certificate that it belongs to, in cert_file"),
        ({"base_url": "http://crm", "tls": {}}, "tls", "is not used by an http:// address"),
        ({"bearer": "CANARY", "oauth2": CLIENT}, "oauth2", "must not be set beside bearer: a request carries one"),
        ({"basic": {"user": "a:b", "password": "CANARY"}}, "basic.user", "must match the pattern"),
        ({"basic": {"user": "a"}}, "basic.password", "required"),
        ({"oauth2": CLIENT | {"token_url": "login"}}, "oauth2.token_url", "must begin with http:// or https://"),
        ({"oauth2": CLIENT | {"token_url": "https://u:CANARY@l/"}}, "oauth2.token_url", "must not hold user"),
        ({"allowed_networks": ["10.0.0.1/8"]}, "allowed_networks[0]", "must be a network with the bits of its hosts 0"),
        ({"allowed_networks": ["localhost"]}, "allowed_networks[0]", "must be a network with the bits of its hosts 0"),
        ({"base_url": "https://bücher.example"}, "base_url", "must begin with http:// or https:// and have no query"),
        ({"send_timeout": 5}, "send_timeout", "has no unit"),
        ({"answer_timeout": "0s"}, "answer_timeout", "must be a duration greater than 0s"),
    ],
)
def test_a_connection_that_cannot_work_is_told_where_and_without_its_secrets(
    changed: dict[str, object], place: str, problem: str, tmp_path: Path
) -> None:
    connection = {"base_url": "https://crm.example.com"} | changed

    (found,) = problems_of(f"connections: {json.dumps({'crm': connection})}", tmp_path)

    assert found.startswith("outbox.yaml:1:")
    assert f" connections.crm.{place}" in found
    assert problem in found
    assert "CANARY" not in found


def test_what_is_shown_of_a_connection_holds_no_secret(tmp_path: Path) -> None:
    connections = {
        "a": {
            "base_url": "https://crm.example.com",
            "basic": {"user": "erp", "password": "CANARY"},
            "proxy": "http://me:CANARY@proxy.example.com:3128",
        },
        "b": {"base_url": "https://crm.example.com", "oauth2": CLIENT | {"parameters": {"audience": "CANARY"}}},
    }

    settings = settings_of(f"connections: {json.dumps(connections)}", tmp_path)

    assert "CANARY" not in json.dumps(effective(settings))
    assert "CANARY" not in repr(settings)


def test_an_error_of_the_model_does_not_quote_a_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        Connection.model_validate({"base_url": "https://crm", "proxy": "ftp://u:CANARY@x"})

    assert "CANARY" not in str(caught.value)
