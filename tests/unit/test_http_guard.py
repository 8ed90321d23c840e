import ipaddress
import socket

import pytest

from adapters.http_guard import AddressRefused, Guard, is_public

OURS = [
    *("127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),  # noqa: S104 - judged, not bound to
    *("192.0.0.1", "192.0.0.9", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::169.254.169.254"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "ff02::1", "2001:db8::1", "fec0::1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("text", OURS)
def test_an_address_of_our_own_network_is_not_public_however_it_is_written(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))
    assert not Guard("https://crm.example.com", ()).allows(text)


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_of_the_internet_is_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))
    assert Guard("https://crm.example.com", ()).allows(text)


def test_a_network_in_the_settings_allows_its_addresses_and_no_other() -> None:
    guard = Guard("https://crm.example.com", ["10.20.0.0/16", "fd00::/8"])

    assert all(guard.allows(text) for text in ("10.20.3.4", "::ffff:10.20.3.4", "fd00::1", "8.8.8.8"))
    assert not any(guard.allows(text) for text in ("10.21.0.1", "127.0.0.1", "fe80::1%eth0"))


def test_an_address_in_the_url_allows_itself_and_no_other() -> None:
    guard = Guard("http://127.0.0.1:8080/api", ())

    assert guard.allows("127.0.0.1")
    assert not guard.allows("127.0.0.2")


@pytest.mark.parametrize("text", ["169.254.169.254", "[fe80::1]", "224.0.0.1"])
def test_an_address_of_the_link_is_allowed_by_a_network_only(text: str) -> None:
    plain = text.strip("[]")

    assert not Guard(f"http://{text}/", ()).allows(plain)
    assert Guard(f"http://{text}/", [plain]).allows(plain)


def test_what_is_no_address_is_not_allowed() -> None:
    assert not Guard("http://crm", ["0.0.0.0/0"]).allows("crm")


def test_no_socket_is_made_for_an_address_that_is_refused() -> None:
    guard = Guard("http://crm.example.com", ())

    with pytest.raises(AddressRefused) as caught:
        guard.socket((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("10.0.0.1", 80)))

    assert caught.value.address == "10.0.0.1"
    assert "10.0.0.1" not in str(caught.value)
