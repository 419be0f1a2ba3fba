"""Documents that the firmware signs, verified by software that is not ours, and by ours."""

import base64
import datetime
import hashlib
import random
import time

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from epsilon_verifier import verify_attestation
from pycose.keys import EC2Key
from pycose.keys.curves import P384
from pycose.keys.keyops import VerifyOp
from pycose.messages import Sign1Message

from firmware.boot.layout import FLASH
from firmware.host.process import HostCard
from niterctl.attestation import AttestationError, verify
from niterctl.card import Card
from niterctl.certificates import certify_device, chain_flash, make_root
from niterctl.client import RequestError
from niterctl.policy import Policy
from niterctl.protocol import Role, Status

from .conftest import POLICY, open_session

NONCE = bytes(range(32))
ROOT_KEY = ec.derive_private_key(0x1234567, ec.SECP384R1())
ROOT = make_root(ROOT_KEY, "Niter test root")


def enrolled(folder, policy=POLICY, **options):
    """A card with certificates."""
    folder.mkdir(exist_ok=True)
    card = HostCard(folder, policy, certify=True, **options)
    device = certify_device(ROOT, ROOT_KEY, card.enrol())
    card.write_flash(FLASH.chain, chain_flash(ROOT, device))
    return card


def fetch(card, nonce=NONCE, user_data=b""):
    with open_session(card, Role.OPERATOR, timeout=2.0) as session:
        ours = Card(session)
        ours.set_time(time.time_ns() // 1_000_000)
        return ours.attest(nonce, user_data)


@pytest.fixture(scope="module")
def root_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("root") / "root.pem"
    path.write_bytes(ROOT.public_bytes(Encoding.PEM))
    return str(path)


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    with enrolled(tmp_path_factory.mktemp("attest")) as card:
        return fetch(card, user_data=b"hello")


def payload(document):
    return cbor2.loads(cbor2.loads(document)[2])


def foreign(document, root_file, **expected):
    """What the unmodified verifier of Nitro documents says."""
    text = base64.b64encode(document).decode()
    return verify_attestation(text, aws_root_cert_path=root_file, **expected)


def test_the_verifier_of_nitro_documents_believes_it(document, root_file):
    result = foreign(document, root_file, expected_pcr2=payload(document)["pcrs"][2].hex())
    assert (result.valid, result.error) == (True, None)
    assert result.certificate_chain_valid and result.aws_signature_valid and result.pcr_verified
    assert result.module_id == "niter-test"
    assert not foreign(document, root_file, expected_pcr2="00" * 48).valid


def test_it_does_not_believe_another_root(document, tmp_path):
    other = tmp_path / "other.pem"
    key = ec.derive_private_key(77, ec.SECP384R1())
    other.write_bytes(make_root(key, "Niter test root").public_bytes(Encoding.PEM))
    assert not foreign(document, str(other)).valid


def test_pycose_verifies_the_signature(document):
    message = Sign1Message.from_cose_obj(cbor2.loads(document), True)
    certificate = x509.load_der_x509_certificate(payload(document)["certificate"])
    numbers = certificate.public_key().public_numbers()
    message.key = EC2Key(
        crv=P384,
        x=numbers.x.to_bytes(48, "big"),
        y=numbers.y.to_bytes(48, "big"),
        optional_params={"KEY_OPS": [VerifyOp]},
    )
    assert message.verify_signature()
    message.payload = message.payload[:-1] + bytes([message.payload[-1] ^ 1])
    assert not message.verify_signature()


def test_ours_tells_what_it_says(document):
    found = verify(document, ROOT, nonce=NONCE)
    assert (found.name, found.user_data) == ("niter-test", b"hello")
    assert found.measurements[3] == POLICY.measurement()
    digest = hashlib.sha384(b"firmware").digest()
    assert found.firmware == digest
    assert found.measurements[2] == hashlib.sha384(bytes(48) + digest).digest()
    age = datetime.datetime.now(datetime.UTC) - found.time
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=10)


def test_the_certificate_is_one_to_others(document):
    claims = payload(document)
    alias = x509.load_der_x509_certificate(claims["certificate"])
    device = x509.load_der_x509_certificate(claims["cabundle"][1])
    alias.verify_directly_issued_by(device)
    assert alias.version == x509.Version.v3
    assert alias.not_valid_after_utc.year == 9999
    assert alias.public_bytes(Encoding.DER) == claims["certificate"]
    point = alias.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert alias.subject.rfc4514_string().endswith(hashlib.sha384(point).hexdigest()[:32])


def test_what_is_absent_is_not_there(tmp_path):
    with enrolled(tmp_path) as card:
        assert "user_data" not in payload(fetch(card))


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_every_bit_that_is_changed_is_noticed(document):
    """Also in what no signature covers: lengths, headers, order."""
    believed = []
    bits = [(byte, bit) for byte in range(len(document)) for bit in range(8)]
    # Those of the payload's certificates are many and alike: the signature covers them.
    chosen = random.Random(1).sample(bits, 1000) + [pair for pair in bits if pair[0] < 64]
    for byte, bit in {*chosen, *((len(document) - n, 0) for n in range(1, 97))}:
        changed = bytearray(document)
        changed[byte] ^= 1 << bit
        try:
            verify(bytes(changed), ROOT, nonce=NONCE)
            believed.append((byte, bit))
        except AttestationError:
            pass
    assert believed == []


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_the_verifier_of_nitro_documents_overlooks_three_bits_only(document, root_file):
    """They are of the unsigned header, an empty map, which it does not look at."""
    overlooked = []
    rng = random.Random(2)
    for byte in {*range(12), *rng.sample(range(12, len(document)), 100)}:
        for bit in range(8) if byte < 12 else [rng.randrange(8)]:
            changed = bytearray(document)
            changed[byte] ^= 1 << bit
            if foreign(bytes(changed), root_file).valid:
                overlooked.append((byte, bit))
    assert document[6] == 0xA0
    assert {byte for byte, _ in overlooked} <= {6}
    assert len(overlooked) <= 3


@pytest.mark.parametrize("cut", [0, 1, 6, 10, 100, 1000, -1])
def test_a_document_that_is_cut_is_noticed(document, cut):
    with pytest.raises(AttestationError):
        verify(document[:cut], ROOT, nonce=NONCE)
    with pytest.raises(AttestationError):
        verify(document + b"\0", ROOT, nonce=NONCE)


def test_another_nonce_root_time_or_measurement_is_noticed(document):
    with pytest.raises(AttestationError, match="nonce"):
        verify(document, ROOT, nonce=bytes(32))
    other = make_root(ec.derive_private_key(9, ec.SECP384R1()), "Niter test root")
    with pytest.raises(AttestationError, match="another root"):
        verify(document, other, nonce=NONCE)
    with pytest.raises(AttestationError, match="not valid now"):
        verify(document, ROOT, nonce=NONCE, now=datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
    with pytest.raises(AttestationError, match="Register 2"):
        verify(document, ROOT, nonce=NONCE, expected={2: bytes(48)})


def test_firmware_and_policy_that_differ_in_one_bit_report_other_measurements(tmp_path, document):
    first = verify(document, ROOT, nonce=NONCE)
    other = Policy("niter-tesu", POLICY.mac, POLICY.ipv4, POLICY.ipv6, POLICY.keys)
    for number, (options, register) in enumerate(
        [({"firmware": "firmwarf"}, 2), ({"policy": other}, 3), ({"signer": "signes"}, 8)]
    ):
        with enrolled(tmp_path / str(number), **options) as card:
            found = verify(fetch(card), ROOT, nonce=NONCE)
        changed = {n for n in found.measurements if found.measurements[n] != first.measurements[n]}
        assert changed == {register}
        assert found.device == first.device


def test_other_firmware_has_another_key_and_another_secret_another_device(tmp_path, document):
    first = payload(document)
    with enrolled(tmp_path / "a", firmware="other") as card:
        second = payload(fetch(card))
    assert second["certificate"] != first["certificate"]
    with enrolled(tmp_path / "b", secret="other") as card:
        third = verify(fetch(card), ROOT, nonce=NONCE)
    assert third.device != verify(document, ROOT, nonce=NONCE).device


def test_firmware_cannot_pass_for_other_firmware(tmp_path, document):
    """It would need the alias key of the other: the certificate in flash is no secret."""
    card = enrolled(tmp_path)
    with card:
        fetch(card)
    honest = card.flash()[FLASH.certificate :][:4096]
    evil = enrolled(tmp_path / "evil", firmware="evil")
    with evil:
        fetch(evil)
    evil._options.pop("certify")
    evil.write_flash(FLASH.certificate, honest)
    with evil, pytest.raises(AttestationError, match="signature"):
        verify(fetch(evil), ROOT, nonce=NONCE)


def test_the_certificate_is_made_once_and_kept(tmp_path):
    card = enrolled(tmp_path)
    with card:
        first = payload(fetch(card))["certificate"]
    before = card.flash()
    with card:
        assert payload(fetch(card))["certificate"] == first
    assert card.flash() == before
    card._options["firmware"] = "other"
    with card:
        assert payload(fetch(card))["certificate"] != first


def test_a_card_without_certificates_or_time_signs_nothing(tmp_path):
    with HostCard(tmp_path, POLICY) as card, open_session(card) as session:
        ours = Card(session)
        assert "certificate_missing" in ours.status()["health"]
        ours.set_time(1_700_000_000_000)
        with pytest.raises(RequestError) as error:
            ours.attest(NONCE)
        assert error.value.status == Status.STATE
    with enrolled(tmp_path / "x") as card, open_session(card) as session:
        with pytest.raises(RequestError) as error:
            Card(session).attest(NONCE)
        assert error.value.status == Status.STATE


@pytest.mark.parametrize("nonce", [bytes(7), bytes(65)])
def test_a_nonce_has_8_to_64_bytes(tmp_path, nonce):
    with HostCard(tmp_path, POLICY) as card, open_session(card) as session:
        with pytest.raises(RequestError) as error:
            Card(session).attest(nonce)
        assert error.value.status == Status.RANGE
