"""Who the benches' card is to those who manage it: its policy, and its keys and certificates.

The keys are derived here a second time, with ``hashlib`` and PyCA, from the secret in flash.
"""

import base64
import hashlib
import tempfile
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from epsilon_verifier import verify_attestation

from firmware.boot.layout import FLASH
from firmware.build import Images
from niterctl.attestation import verify
from niterctl.certificates import certify_device, chain_flash, make_root, template
from niterctl.cose import public_bytes
from niterctl.policy import Policy
from niterctl.protocol import Role
from niterctl.record import record

from .rig import SECRET

__all__ = [
    "KEYS",
    "MAC",
    "POLICY",
    "ROOT",
    "VTEP",
    "certified",
    "check_certificate",
    "check_document",
    "identity",
    "provisioned",
]

MAC, VTEP = "02:aa:00:00:00:01", "198.51.100.1"

#: What the record of the alias key's certificate begins with: "NACR".
CERTIFICATE = 0x4E414352

#: One for each role.
KEYS = {role: Ed25519PrivateKey.from_private_bytes(bytes([role + 1] * 32)) for role in Role}

POLICY = Policy(
    "niter-bench",
    bytes.fromhex(MAC.replace(":", "")),
    IPv4Address(VTEP),
    None,
    {public_bytes(key): role for role, key in KEYS.items()},
)

_ROOT_KEY = ec.derive_private_key(0x1234567, ec.SECP384R1())
ROOT = make_root(_ROOT_KEY, "Niter bench root")


def _derived(label: bytes, *digests: bytes) -> bytes:
    """What the key store derives from the secret: see ``firmware/hal/keystore.h``."""
    context = label.ljust(16, b"\0") + b"".join(digests)
    return hashlib.sha384(SECRET.ljust(128, b"\0") + context).digest()


def _key_of(seed: bytes) -> ec.EllipticCurvePrivateKey:
    """The P-384 key of a seed, unless that were one of the few that give none."""
    material = HKDF(SHA384(), 48, salt=None, info=b"P-384\0").derive(seed)
    return ec.derive_private_key(int.from_bytes(material, "big"), ec.SECP384R1())


def _device_key() -> ec.EllipticCurvePrivateKey:
    return _key_of(_derived(b"niter device 1"))


def _point(owner) -> bytes:
    form = Encoding.X962, PublicFormat.UncompressedPoint
    return owner.public_key().public_bytes(*form)


def identity(found: Images) -> bytes:
    """The card's public key to those who manage it."""
    seed = _derived(b"niter manage 1", hashlib.sha384(found.signer).digest())[:32]
    return public_bytes(Ed25519PrivateKey.from_private_bytes(seed))


def provisioned() -> dict[int, bytes]:
    """What manufacture writes to flash: the policy, and the certificates of root and device."""
    point = _point(_device_key())
    return {
        FLASH.policy: POLICY.flash(),
        FLASH.chain: chain_flash(ROOT, certify_device(ROOT, _ROOT_KEY, point)),
    }


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    size = bytes([length]) if length < 128 else b"\x82" + length.to_bytes(2, "big")
    return bytes([tag]) + size + content


def _alias_seed(found: Images) -> bytes:
    return _derived(b"niter alias 1", hashlib.sha384(found.signer).digest(), found.measured)


def certified(found: Images) -> dict[int, bytes]:
    """The alias key's certificate in flash, so that boot code need not make it."""
    device = _device_key()
    text, places = template()
    alias = _key_of(_alias_seed(found))
    digest = hashlib.sha384(_point(alias)).digest()
    values = {
        "serial": bytes([digest[0] & 0x3F | 0x40]) + digest[1:16],
        "issuer": hashlib.sha384(_point(device)).hexdigest()[:32].encode(),
        "subject": digest.hex()[:32].encode(),
        "key": _point(alias),
        "fwid": found.measured,
    }
    filled = bytearray(text)
    for name, (offset, length) in places.items():
        filled[offset : offset + length] = values[name]
    # ecdsa-with-SHA384 (RFC 5758).
    algorithm = bytes.fromhex("300a06082a8648ce3d040303")
    signature = device.sign(bytes(filled), ec.ECDSA(SHA384()))
    certificate = _der(0x30, bytes(filled) + algorithm + _der(0x03, b"\0" + signature))
    tag = hashlib.sha384(b"niter certificate 1\0" + _alias_seed(found)).digest()[:4]
    return {FLASH.certificate: record(CERTIFICATE, int.from_bytes(tag, "big"), certificate)}


def check_certificate(found: Images, sector: bytes) -> None:
    """The record in flash holds a certificate of the alias key, issued by the device key."""
    length = int.from_bytes(sector[8:12], "big")
    content = sector[12 : 12 + length]
    assert record(CERTIFICATE, int.from_bytes(sector[4:8], "big"), content) == sector[: 60 + length]
    certificate = x509.load_der_x509_certificate(content)
    signature, text = certificate.signature, certificate.tbs_certificate_bytes
    _device_key().public_key().verify(signature, text, ec.ECDSA(SHA384()))
    assert _point(certificate) == _point(_key_of(_alias_seed(found)))


def check_document(found: Images, document: bytes, *, nonce: bytes, user_data: bytes) -> None:
    """It says what was booted, and a verifier that is not ours believes it with
    those measurements alone."""
    ours = verify(document, ROOT, nonce=nonce)
    assert (ours.name, ours.user_data) == (POLICY.name, user_data)
    assert ours.firmware == found.measured
    expected = {int(name[3]): value for name, value in found.measurements().items()}
    for number, value in (expected | {3: POLICY.measurement()}).items():
        assert ours.measurements[number] == value, number
    text = base64.b64encode(document).decode()
    with tempfile.NamedTemporaryFile() as root:
        Path(root.name).write_bytes(ROOT.public_bytes(Encoding.PEM))
        for pcr2, good in ((expected[2].hex(), True), ("00" * 48, False)):
            theirs = verify_attestation(text, aws_root_cert_path=root.name, expected_pcr2=pcr2)
            assert theirs.valid == good, theirs.error
