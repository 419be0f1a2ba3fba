"""The COSE messages (RFC 9052) of the management protocol, on cbor2 and cryptography.

pycose lacks ChaCha20-Poly1305, or it would stand here; the tests read our signatures with it.
"""

from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = ["decrypt0", "encrypt0", "public_bytes", "sign1", "verify1"]

_ENCRYPT0, _SIGN1 = 16, 18
_ALGORITHM, _KEY, _PARTIAL_IV = 1, 4, 6
_EDDSA, _CHACHA20_POLY1305 = -8, 24


def public_bytes(key: Ed25519PrivateKey | Ed25519PublicKey) -> bytes:
    """The 32 bytes of a public key."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _fields(message: bytes, tag: int, count: int) -> list[Any] | None:
    """The fields of a tagged message that is encoded as it should be; None if it is not."""
    try:
        decoded = cbor2.loads(message)
        if not isinstance(decoded, cbor2.CBORTag) or decoded.tag != tag:
            return None
        fields = list(decoded.value)
        if len(fields) != count or fields[1] != {} or cbor2.dumps(decoded) != message:
            return None
        return fields
    except (cbor2.CBORDecodeError, ValueError, TypeError):
        return None


def sign1(key: Ed25519PrivateKey, payload: bytes, external: bytes = b"") -> bytes:
    """A COSE_Sign1 with EdDSA, whose key identifier is the public key."""
    protected = cbor2.dumps({_ALGORITHM: _EDDSA, _KEY: public_bytes(key)})
    signature = key.sign(cbor2.dumps(["Signature1", protected, external, payload]))
    return cbor2.dumps(cbor2.CBORTag(_SIGN1, [protected, {}, payload, signature]))


def verify1(message: bytes, key: bytes, external: bytes = b"") -> bytes | None:
    """The payload of a COSE_Sign1 that ``key`` has made; None if it has not."""
    fields = _fields(message, _SIGN1, 4)
    if fields is None:
        return None
    protected, _, payload, signature = fields
    if protected != cbor2.dumps({_ALGORITHM: _EDDSA, _KEY: key}):
        return None
    try:
        text = cbor2.dumps(["Signature1", protected, external, payload])
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except (InvalidSignature, ValueError, TypeError):
        return None
    return payload


def _protected(session: bytes, counter: int) -> bytes:
    return cbor2.dumps(
        {_ALGORITHM: _CHACHA20_POLY1305, _KEY: session, _PARTIAL_IV: counter.to_bytes(4, "big")}
    )


def _nonce(base_iv: bytes, counter: int) -> bytes:
    return (int.from_bytes(base_iv, "big") ^ counter).to_bytes(len(base_iv), "big")


def encrypt0(key: bytes, base_iv: bytes, session: bytes, counter: int, plain: bytes) -> bytes:
    """A COSE_Encrypt0 with ChaCha20-Poly1305; the counter is its partial IV."""
    protected = _protected(session, counter)
    extra = cbor2.dumps(["Encrypt0", protected, b""])
    text = ChaCha20Poly1305(key).encrypt(_nonce(base_iv, counter), plain, extra)
    return cbor2.dumps(cbor2.CBORTag(_ENCRYPT0, [protected, {}, text]))


def decrypt0(
    key: bytes, base_iv: bytes, session: bytes, counter: int, message: bytes
) -> bytes | None:
    """What a COSE_Encrypt0 of this session and counter says; None if it is not genuine."""
    fields = _fields(message, _ENCRYPT0, 3)
    protected = _protected(session, counter)
    if fields is None or fields[0] != protected or not isinstance(fields[2], bytes):
        return None
    extra = cbor2.dumps(["Encrypt0", protected, b""])
    try:
        return ChaCha20Poly1305(key).decrypt(_nonce(base_iv, counter), fields[2], extra)
    except (InvalidTag, ValueError):
        return None
