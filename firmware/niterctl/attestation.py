"""Attestation documents: what a card says of itself, and whether to believe it.

A document is an untagged COSE_Sign1 with ES384, in the format of Nitro enclaves. This verifier is
stricter than that format: a document must be encoded just as a card encodes it, so that a change of
any bit of it is noticed, of its unsigned headers too.
"""

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .certificates import FWID, device_name

__all__ = ["NAMES", "AttestationError", "Document", "verify"]

#: What each register measures.
NAMES = (
    "bitstream",
    "boot ROM",
    "firmware",
    "policy",
    "host flash",
    "option ROM",
    "volumes",
    "life cycle",
    "signer",
)
_HEADERS = bytes.fromhex("a1013822")
_HALF, _DIGEST = 48, 48
_FIELDS = {"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"}
_OPTIONAL = {"nonce", "user_data"}


class AttestationError(ValueError):
    """A document that is not to be believed."""


@dataclass(frozen=True)
class Document:
    """What a document says, once it is believed.

    Parameters
    ----------
    name
        The card's, from its policy.
    time
        That the card thought it was.
    measurements
        Registers by their number.
    device
        Public key of the card, which the root has certified.
    firmware
        Digest of the firmware that holds the signing key, from the key's certificate.
    nonce, user_data
        As they were asked for.
    """

    name: str
    time: datetime.datetime
    measurements: dict[int, bytes]
    device: bytes
    firmware: bytes
    nonce: bytes
    user_data: bytes

    def to_json(self) -> str:
        """All of it, bytes as hexadecimal digits."""
        data = {
            "name": self.name,
            "time": self.time.isoformat(),
            "measurements": {str(n): value.hex() for n, value in self.measurements.items()},
            "device": self.device.hex(),
            "firmware": self.firmware.hex(),
            "nonce": self.nonce.hex(),
            "user_data": self.user_data.hex(),
        }
        return json.dumps(data)


def _check(condition: Any, what: str) -> None:
    if not condition:
        raise AttestationError(what)


def _decode(data: bytes) -> tuple[bytes, dict[str, Any], bytes]:
    """Payload, as bytes and decoded, and signature of a document that is well formed."""
    try:
        fields = cbor2.loads(data)
        _check(isinstance(fields, list) and len(fields) == 4, "This is no COSE_Sign1")
        protected, unprotected, payload, signature = fields
        _check(protected == _HEADERS and unprotected == {}, "The headers are not a card's")
        _check(isinstance(payload, bytes) and isinstance(signature, bytes), "This is no COSE_Sign1")
        _check(len(signature) == 2 * _HALF, "The signature is not one of ES384")
        claims = cbor2.loads(payload)
        _check(isinstance(claims, dict), "The payload is no map")
        exact = cbor2.dumps(claims, canonical=True) == payload and cbor2.dumps(fields) == data
    except AttestationError:
        raise
    except (cbor2.CBORDecodeError, cbor2.CBOREncodeError, ValueError, TypeError) as error:
        raise AttestationError(f"This is no document: {error}") from error
    _check(exact, "The document is not encoded as a card encodes it")
    _check(_FIELDS <= set(claims) <= _FIELDS | _OPTIONAL, "The payload has other fields")
    return payload, claims, signature


def _check_claims(claims: dict[str, Any]) -> None:
    _check(isinstance(claims["module_id"], str) and claims["module_id"], "There is no name")
    _check(claims["digest"] == "SHA384", "The digest is not SHA384")
    _check(isinstance(claims["timestamp"], int) and claims["timestamp"] > 0, "There is no time")
    registers = claims["pcrs"]
    _check(isinstance(registers, dict), "There are no measurements")
    _check(set(registers) == set(range(len(NAMES))), "There are other registers")
    for value in registers.values():
        _check(isinstance(value, bytes) and len(value) == _DIGEST, "A measurement is none")
    _check(isinstance(claims["certificate"], bytes), "There is no certificate")
    bundle = claims["cabundle"]
    _check(isinstance(bundle, list) and len(bundle) == 2, "The bundle is not root and device")


def _public(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AttestationError("A certificate's key is none") from error
    good = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1)
    _check(good, "A certificate's key is not on P-384")
    return key


def _check_issued(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    now: datetime.datetime,
    depth: int | None,
) -> None:
    """One link of the chain. ``depth``: path length of a certificate that may issue others."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise AttestationError("A certificate was not issued by the one above it") from error
    valid = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    _check(valid, "A certificate is not valid now")
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise AttestationError("A certificate does not say what it is for") from error
    if depth is None:
        _check(not constraints.ca and usage.digital_signature, "The key may not sign documents")
    else:
        _check(constraints.ca and usage.key_cert_sign, "The key may not issue certificates")
        _check(constraints.path_length == depth, "The key may issue other certificates")


def _load_chain(
    claims: dict[str, Any], root: x509.Certificate
) -> tuple[x509.Certificate, x509.Certificate]:
    """The certificates of alias and device key."""
    own = root.public_bytes(Encoding.DER)
    _check(claims["cabundle"][0] == own, "The document leads to another root")
    try:
        device = x509.load_der_x509_certificate(claims["cabundle"][1])
        return x509.load_der_x509_certificate(claims["certificate"]), device
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise AttestationError(f"A certificate is none: {error}") from error


def _check_chain(
    alias: x509.Certificate,
    device: x509.Certificate,
    root: x509.Certificate,
    now: datetime.datetime,
) -> None:
    """Whether they lead to the root that is trusted."""
    _check_issued(root, root, now, 1)
    _check_issued(device, root, now, 0)
    _check_issued(alias, device, now, None)
    _check(device.subject == device_name(_public(device)), "The device's name is another key's")


def _firmware(alias: x509.Certificate) -> bytes:
    """The digest in the certificate of an alias key: the end of its FWID."""
    try:
        extension = alias.extensions.get_extension_for_oid(FWID).value
    except x509.ExtensionNotFound as error:
        raise AttestationError("The certificate names no firmware") from error
    return extension.value[-_DIGEST:]


def verify(
    data: bytes,
    root: x509.Certificate,
    *,
    nonce: bytes,
    expected: Mapping[int, bytes] | None = None,
    now: datetime.datetime | None = None,
) -> Document:
    """What a document says.

    Parameters
    ----------
    data
        The document.
    root
        The certificate that is trusted.
    nonce
        That the document was asked for with.
    expected
        Values that registers must have, by number.
    now
        Time at which certificates must be valid; the present.

    Raises
    ------
    AttestationError
        It is not to be believed, or it reports other measurements.
    """
    payload, claims, signature = _decode(data)
    _check_claims(claims)
    alias, device = _load_chain(claims, root)
    signed = cbor2.dumps(["Signature1", _HEADERS, b"", payload])
    halves = (int.from_bytes(signature[n : n + _HALF], "big") for n in (0, _HALF))
    try:
        _public(alias).verify(encode_dss_signature(*halves), signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature as error:
        raise AttestationError("The signature is not the card's") from error
    _check_chain(alias, device, root, now or datetime.datetime.now(datetime.UTC))
    _check(claims.get("nonce") == nonce, "The document is for another nonce")
    registers, firmware = claims["pcrs"], _firmware(alias)
    measured = hashlib.sha384(bytes(_DIGEST) + firmware).digest()
    _check(registers[2] == measured, "The key was certified for other firmware")
    for register, value in (expected or {}).items():
        _check(
            registers.get(register) == value,
            f"Register {register} is {registers.get(register, b'').hex()}",
        )
    point = device.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return Document(
        claims["module_id"],
        datetime.datetime.fromtimestamp(claims["timestamp"] / 1000, datetime.UTC),
        registers,
        point,
        firmware,
        nonce,
        claims.get("user_data", b""),
    )
