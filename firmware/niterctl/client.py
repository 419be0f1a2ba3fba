"""A session with a card: the handshake, and requests with retries (``docs/management.md``)."""

import hashlib
import os
import socket
import time
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .cose import decrypt0, encrypt0, sign1, verify1
from .protocol import DATAGRAM, PORT, PROBE_PADDING, Command, Role, Status

__all__ = ["CardError", "Identity", "RequestError", "Session", "SilentError", "probe"]

_PROBE, _IDENTITY, _VERSION = 1, 2, 1
_LABEL = b"niter management 1"


class CardError(Exception):
    """The card did not do what was asked of it."""


class SilentError(CardError):
    """The card did not answer, however often it was asked."""


class RequestError(CardError):
    """The card answered that it did not carry a request out."""

    def __init__(self, command: Command, status: int):
        try:
            self.status: Status | None = Status(status)
            name = self.status.name
        except ValueError:
            self.status, name = None, str(status)
        self.command = command
        super().__init__(f"The card refused {getattr(command, 'name', command)}: {name}")


@dataclass(frozen=True)
class Identity:
    """Who a card says it is: its public key, and the nonce of its present boot."""

    card: bytes
    boot: bytes


class _Line:
    """A UDP socket that asks until it is answered.

    Parameters
    ----------
    host, port
        Of the card's listener.
    timeout
        Seconds until the first retry; each next one waits twice as long, up to 2 s.
    retries
        How often.
    """

    def __init__(self, host: str, port: int = PORT, *, timeout: float = 0.3, retries: int = 8):
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, kind)
        self._socket.connect(address)
        self._timeout, self._retries = timeout, retries

    def close(self) -> None:
        self._socket.close()

    def ask(self, question: bytes, accept):
        """What ``accept`` makes of the first answer for which it returns anything but None."""
        wait = self._timeout
        for _ in range(self._retries + 1):
            try:
                self._socket.send(question)
            except ConnectionRefusedError:
                time.sleep(wait / 4)
                continue
            end = time.monotonic() + wait
            while (left := end - time.monotonic()) > 0:
                self._socket.settimeout(left)
                try:
                    answer = self._socket.recv(2 * DATAGRAM)
                except (TimeoutError, ConnectionRefusedError):
                    break
                if (found := accept(answer)) is not None:
                    return found
            wait = min(2 * wait, 2.0)
        raise SilentError(f"No answer after {self._retries + 1} attempts")


def _ask_identity(line: _Line) -> Identity:
    nonce = os.urandom(16)

    def accept(answer: bytes) -> Identity | None:
        try:
            kind, echoed, card, boot = cbor2.loads(answer)
        except (ValueError, TypeError, cbor2.CBORDecodeError):
            return None
        good = kind == _IDENTITY and echoed == nonce and len(card) == 32 and len(boot) == 16
        return Identity(card, boot) if good else None

    return line.ask(cbor2.dumps([_PROBE, nonce, bytes(PROBE_PADDING)]), accept)


def probe(host: str, port: int = PORT, **options: Any) -> Identity:
    """Ask a card who it is. The answer is not authenticated.

    Raises
    ------
    SilentError
        There is none.
    """
    line = _Line(host, port, **options)
    try:
        return _ask_identity(line)
    finally:
        line.close()


class Session:
    """An authenticated and encrypted session with one card, during one of its boots.

    Parameters
    ----------
    host, port
        Of the card's listener.
    key
        Ours; the card's policy knows it.
    card
        The card's public key, 32 bytes, from where it is trusted.
    role
        That we ask for; the key must have it.
    timeout, retries
        Of each exchange.

    Raises
    ------
    SilentError
        The card does not answer, as it does when the key, the role or the stamp is not to its
        liking: it tells nobody why, but its log does.
    CardError
        Another card answers at this address.
    """

    def __init__(
        self,
        host: str,
        port: int = PORT,
        *,
        key: Ed25519PrivateKey,
        card: bytes,
        role: Role = Role.OBSERVER,
        timeout: float = 0.3,
        retries: int = 8,
    ):
        self.role = role
        self._line = _Line(host, port, timeout=timeout, retries=retries)
        try:
            identity = _ask_identity(self._line)
            if identity.card != card:
                raise CardError(f"The card at {host} is {identity.card.hex()}, not {card.hex()}")
            self._handshake(key, identity)
            #: The nonce of the boot that it holds for.
            self.boot = identity.boot
        except BaseException:
            self._line.close()
            raise
        self._counter = 0

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the session. The card does so when it needs the place."""
        self._line.close()

    def _handshake(self, key: Ed25519PrivateKey, identity: Identity) -> None:
        secret = X25519PrivateKey.generate()
        ephemeral = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        stamp = time.time_ns()
        claims = [_VERSION, identity.card, identity.boot, int(self.role), stamp, ephemeral]
        question = sign1(key, cbor2.dumps(claims))
        answer, session, theirs, role = self._line.ask(
            question, lambda answer: self._accepted(answer, question, identity)
        )
        if role != self.role:
            raise CardError(f"The card opened a session of role {role}")
        shared = secret.exchange(X25519PublicKey.from_public_bytes(theirs))
        info = _LABEL + hashlib.sha384(question + answer).digest()
        material = HKDF(SHA384(), 88, salt=identity.boot, info=info).derive(shared)
        self._session = session
        self._to_card, self._to_us = material[:32], material[32:64]
        self._iv_to_card, self._iv_to_us = material[64:76], material[76:88]

    @staticmethod
    def _accepted(answer: bytes, question: bytes, identity: Identity):
        payload = verify1(answer, identity.card, question)
        if payload is None:
            return None
        version, session, theirs, role = cbor2.loads(payload)
        return (answer, session, theirs, role) if version == _VERSION else None

    def seal(self, counter: int, plain: bytes) -> bytes:
        """The datagram that carries a request."""
        return encrypt0(self._to_card, self._iv_to_card, self._session, counter, plain)

    def unseal(self, answer: bytes, counter: int) -> bytes | None:
        """What the answer to request ``counter`` says; None when it is not genuine."""
        return decrypt0(self._to_us, self._iv_to_us, self._session, counter, answer)

    def request(self, command: Command, *arguments: Any) -> Any:
        """Have the card carry ``command`` out, just once however often it must be asked.

        Raises
        ------
        RequestError
            It does not.
        SilentError
            It does not answer: whether it did is not known.
        """
        self._counter += 1
        counter = self._counter
        plain = cbor2.dumps([int(self.role), int(command), list(arguments)])
        question = self.seal(counter, plain)
        if len(question) > DATAGRAM:
            raise ValueError(f"The request has {len(question)} bytes, {DATAGRAM} fit")
        answer = self._line.ask(question, lambda answer: self.unseal(answer, counter))
        status, result = cbor2.loads(answer)
        if status != Status.OK:
            raise RequestError(command, status)
        return result
