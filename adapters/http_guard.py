"""Which addresses a connection may be opened to: a name in the settings must not lead into our own network.

The address is judged when the socket is made for it, so what was checked is what is connected to: a name server that
answers differently the next time (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import AddrInfoType

from outbox.model.tcp import PATIENT

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Local NAT64 prefixes hold their IPv4 address anywhere.
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
# Before its 3.12.4 and the security releases beside it, Python calls parts of these global.
_NEVER_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        *("::/96", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10", "ff00::/8"),
    )
)


class AddressRefused(OSError):
    """A socket was wanted for an address that this connection must not reach.

    The text is the same for every address: the connecting library joins texts that differ into one.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(errno.EACCES, "not an allowed address")


def is_public(address: Address) -> bool:
    """Say whether an address belongs to the internet, seen through everything that embeds an IPv4 address."""
    seen = _embedded(address)
    return seen is not None and seen.is_global and not any(seen in network for network in _NEVER_PUBLIC)


def _embedded(address: Address) -> Address | None:
    """Return the address that is reached in the end; None when that cannot be told."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None or address in _NAT64_LOCAL:
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


class Guard:
    """Makes the sockets of one connection, and refuses to for addresses that nobody has allowed.

    Allowed are public addresses, the listed networks, and an address that the URL itself names: whoever wrote it
    there meant it. Link-local addresses, where clouds keep their credentials, must be listed all the same.
    """

    def __init__(self, url: str, allowed_networks: Iterable[str]) -> None:
        self._literal = _literal(urlsplit(url).hostname or "")
        self._networks = tuple(ipaddress.ip_network(text) for text in allowed_networks)

    def allows(self, text: str) -> bool:
        """Say whether this address may be connected to."""
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        plain = (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
        if any(plain.version == network.version and plain in network for network in self._networks):
            return True
        return is_public(address) or (plain == self._literal and not (plain.is_link_local or plain.is_multicast))

    def socket(self, info: AddrInfoType) -> socket.socket:
        """Make the socket for an address; it is the address that will be connected to.

        Raises:
            AddressRefused: the address is not allowed.
        """
        family, kind, protocol, _, sockaddr = info
        if not self.allows(str(sockaddr[0])):
            raise AddressRefused(str(sockaddr[0]))
        opened = socket.socket(family, kind, protocol)
        opened.setblocking(False)
        for option in PATIENT.options():
            opened.setsockopt(*option)
        return opened


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
