"""Certificates: the template of those that a card makes, and those that are made for it.

PyCA's encoder makes one certificate with markers in the places that differ from card to card; the
firmware copies its bytes and fills the places in. So the firmware has no encoder of its own beyond
the two integers of the signature. Every place has a fixed length.
"""

import datetime
import hashlib

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .record import record

__all__ = [
    "BEGIN",
    "CHAIN",
    "END",
    "FWID",
    "certify_device",
    "chain_flash",
    "device_name",
    "make_root",
    "template",
    "template_header",
]

#: What the record with the certificates of root and device begins with: "NCHA".
CHAIN = 0x4E434841

#: A card has no calendar that it could trust; its certificates hold for ever (RFC 5280, 4.1.2.5).
BEGIN = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)

#: tcg-dice-TcbInfo: its ``fwids`` hold the digest of the firmware that has the key.
FWID = x509.ObjectIdentifier("2.23.133.5.4.1")
_SHA384 = bytes.fromhex("0609608648016503040202")

_USAGES = (
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)

_DIGITS = 32
_SERIAL = bytes.fromhex("5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e")
_ISSUER, _SUBJECT = "i" * _DIGITS, "s" * _DIGITS
_DIGEST = b"\xf5" * 48


def _name(kind: str, digits: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Niter {kind} {digits}")])


def _digits(public: bytes) -> str:
    return hashlib.sha384(public).hexdigest()[:_DIGITS]


def device_name(key: ec.EllipticCurvePublicKey) -> x509.Name:
    """What a device key's certificate calls it: a prefix of the hash of the key."""
    return _name("device", _digits(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)))


def _tcb_info(digest: bytes) -> bytes:
    """DiceTcbInfo with one FWID in [6]; all lengths are below 128."""
    fwid = _SHA384 + b"\x04\x30" + digest
    listed = b"\x30" + bytes([len(fwid)]) + fwid
    field = b"\xa6" + bytes([len(listed)]) + listed
    return b"\x30" + bytes([len(field)]) + field


def template() -> tuple[bytes, dict[str, tuple[int, int]]]:
    """The bytes to be signed, and where the places are: offset and length by name."""
    private = ec.derive_private_key(1, ec.SECP384R1())
    usage = dict.fromkeys(_USAGES, False)
    certificate = (
        x509.CertificateBuilder()
        .serial_number(int.from_bytes(_SERIAL, "big"))
        .issuer_name(_name("device", _ISSUER))
        .subject_name(_name("alias", _SUBJECT))
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .public_key(private.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(x509.UnrecognizedExtension(FWID, _tcb_info(_DIGEST)), critical=False)
        .sign(private, hashes.SHA384())
    )
    text = certificate.tbs_certificate_bytes
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    places = {}
    for name, marker in (
        ("serial", _SERIAL),
        ("issuer", _ISSUER.encode()),
        ("subject", _SUBJECT.encode()),
        ("key", point),
        ("fwid", _DIGEST),
    ):
        if text.count(marker) != 1:
            raise RuntimeError(f"The marker of {name} stands {text.count(marker)} times")
        places[name] = (text.index(marker), len(marker))
    return text, places


def template_header() -> str:
    """The template as a C header."""
    text, places = template()
    lines = ["/* Generated from niterctl.certificates. */", "#ifndef CERTIFICATE_TEMPLATE_H"]
    lines += ["#define CERTIFICATE_TEMPLATE_H", "", "#include <stdint.h>", ""]
    for name, (offset, length) in places.items():
        lines.append(f"#define CERTIFICATE_{name.upper()} {offset}u")
        lines.append(f"#define CERTIFICATE_{name.upper()}_BYTES {length}u")
    numbers = ", ".join(map(str, text))
    lines += ["", f"static const uint8_t certificate_template[{len(text)}] = {{{numbers}}};"]
    return "\n".join([*lines, "", "#endif", ""])


def _authority(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    depth: int,
) -> x509.Certificate:
    usage = dict.fromkeys(_USAGES, False) | {"key_cert_sign": True}
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .issuer_name(issuer)
        .subject_name(subject)
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .public_key(key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=False, **usage), critical=True)
        .sign(signer, hashes.SHA384())
    )


def make_root(key: ec.EllipticCurvePrivateKey, name: str) -> x509.Certificate:
    """The root that a maker or owner of cards trusts; its key certifies device keys."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    return _authority(subject, key.public_key(), subject, key, 1)


def certify_device(
    root: x509.Certificate, key: ec.EllipticCurvePrivateKey, device: bytes
) -> x509.Certificate:
    """Certify a card's device key, 97 bytes, as the card gives it at manufacture."""
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), device)
    return _authority(device_name(public), public, root.subject, key, 0)


def chain_flash(root: x509.Certificate, device: x509.Certificate) -> bytes:
    """Both certificates as they stand in the card's flash."""
    certificates = [certificate.public_bytes(Encoding.DER) for certificate in (root, device)]
    return record(CHAIN, 1, cbor2.dumps(certificates))
