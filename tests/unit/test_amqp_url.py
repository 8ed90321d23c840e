"""AMQP URLs with one host and with several; a password is never taken for something else, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox.model.amqp_url import AmqpUrl
from outbox.rabbitmq.connection import describe
from tests.unit.config_cases import URLS, problems_of, settings_of

SEVERAL = "amqps://relay:p,w%40x@a.example.com:5671,b.example.com,[::1]:5673/erp%2Fx?auth=external"


def test_every_host_gets_the_rest_of_the_url() -> None:
    url = AmqpUrl.parse(SEVERAL)
    assert url.hosts == ("a.example.com:5671", "b.example.com", "[::1]:5673")
    assert url.single("b.example.com") == "amqps://relay:p,w%40x@b.example.com/erp%2Fx?auth=external"
    assert (url.user, url.password, url.vhost, url.login) == ("relay", "p,w@x", "erp/x", "external")
    assert url.is_encrypted


def test_people_read_every_host_with_its_port_and_no_password() -> None:
    assert describe(SEVERAL) == "RabbitMQ at a.example.com:5671,b.example.com:5671,[::1]:5673/erp%2Fx"
    assert describe("amqp://u:secret@[::1]") == "RabbitMQ at [::1]:5672/"
    assert describe("nonsense") == "RabbitMQ"


@pytest.mark.parametrize(
    "url",
    ["http://a/", "amqp://", "amqp://a,/x", "amqp://,a", "amqp://a:x", "amqp://a:0", "amqp://a:1,b:x/", "amqp:a"],
)
def test_an_address_without_a_host_or_with_a_strange_port_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"not an AMQP URL|a host is missing"):
        AmqpUrl.parse(url)


def test_the_settings_take_several_hosts(tmp_path: Path) -> None:
    settings = settings_of("", tmp_path, URLS | {"OUTBOX_AMQP_URL": "amqp://u:p@a:5672,b:5672/vhost"})
    assert AmqpUrl.parse(settings.rabbitmq.url.get_secret_value()).hosts == ("a:5672", "b:5672")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rabbitmq: {topology: none}", "must be one of arguments, policies, passive"),
        ("rabbitmq: {tls: {ca_file: ca.pem}}", "rabbitmq.url as amqps://"),
        ("rabbitmq: {tls: {key_file: key.pem}}", "needs the certificate that it belongs to"),
        ("rabbitmq: {management_url: 'amqp://mq'}", "must begin with http:// or https://"),
        ("rabbitmq: {management_url: 'http://mq:0'}", "must name a host"),
    ],
)
def test_settings_of_the_broker_that_cannot_work_are_told(tmp_path: Path, text: str, told: str) -> None:
    assert any(told in problem for problem in problems_of(text, tmp_path))
