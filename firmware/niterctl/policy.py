"""A card's policy: its name and addresses, and whose keys may do what."""

import hashlib
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

import cbor2

from .protocol import Role
from .record import record

__all__ = ["MAGIC", "POLICY_BYTES", "Policy", "PolicyError"]

_VERSION = 1
#: What a copy in flash begins with: "NPOL".
MAGIC = 0x4E504F4C
#: The longest that a card takes, and what else it limits.
POLICY_BYTES = 384
_KEYS, _NAME = 8, 32


class PolicyError(ValueError):
    """A policy that no card would take."""


@dataclass(frozen=True)
class Policy:
    """What a card is told about itself and its owners.

    Parameters
    ----------
    name
        What it calls itself in attestation documents: 1 to 32 printable ASCII characters.
    mac, ipv4, ipv6
        Of its tunnel endpoint and its listener.
    keys
        Public keys, and the highest role of each. At least one is an owner's.

    Raises
    ------
    PolicyError
        The card would refuse it.
    """

    name: str
    mac: bytes
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None
    keys: dict[bytes, Role] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (0 < len(self.name) <= _NAME and self.name.isascii() and self.name.isprintable()):
            raise PolicyError(f"The name must be 1 to {_NAME} printable ASCII characters")
        if len(self.mac) != 6 or self.mac[0] & 1:
            raise PolicyError("The MAC address must be six bytes and not a group's")
        if not 0 < len(self.keys) <= _KEYS or any(len(key) != 32 for key in self.keys):
            raise PolicyError(f"There must be 1 to {_KEYS} keys of 32 bytes")
        if Role.OWNER not in self.keys.values():
            raise PolicyError("One of the keys must be an owner's")

    def encode(self) -> bytes:
        """The bytes that the card measures."""
        keys = [[key, int(role)] for key, role in self.keys.items()]
        addresses = [address.packed if address else b"" for address in (self.ipv4, self.ipv6)]
        return cbor2.dumps([_VERSION, self.name, self.mac, *addresses, keys])

    @classmethod
    def decode(cls, data: bytes) -> "Policy":
        """The policy in these bytes."""
        try:
            version, name, mac, ipv4, ipv6, keys = cbor2.loads(data)
        except (cbor2.CBORDecodeError, ValueError, TypeError) as error:
            raise PolicyError(f"This is no policy: {error}") from error
        if version != _VERSION:
            raise PolicyError(f"Policies of version {version} are unknown")
        return cls(
            name,
            mac,
            IPv4Address(ipv4) if ipv4 else None,
            IPv6Address(ipv6) if ipv6 else None,
            {key: Role(role) for key, role in keys},
        )

    def flash(self, number: int = 1) -> bytes:
        """A copy as it stands in the card's flash, for the card's first provisioning."""
        return record(MAGIC, number, self.encode())

    def measurement(self) -> bytes:
        """What the card's register 3 holds when this policy was in flash at its reset."""
        return hashlib.sha384(bytes(48) + hashlib.sha384(self.encode()).digest()).digest()
