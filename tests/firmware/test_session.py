"""The protocol's promises, each against the firmware under sanitizers.

The client's cryptography is PyCA's, and what the firmware signs is read by pycose too.
"""

import socket
import time

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pycose.headers import KID
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.keys.keyops import VerifyOp
from pycose.messages import CoseMessage

from firmware.host.process import HostCard
from niterctl import cose
from niterctl.card import Card
from niterctl.client import CardError, RequestError, Session, SilentError, probe
from niterctl.protocol import CHUNK, PROBE_PADDING, Command, Role, Slot, Status

from .conftest import HOST, KEYS, POLICY, open_session


class Raw:
    """Datagrams as they are."""

    def __init__(self, card: HostCard):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((HOST, card.port))

    def ask(self, data: bytes, timeout: float = 0.25) -> bytes | None:
        self.socket.settimeout(timeout)
        self.socket.send(data)
        try:
            return self.socket.recv(4096)
        except TimeoutError:
            return None

    def close(self):
        self.socket.close()


@pytest.fixture
def raw(card):
    line = Raw(card)
    yield line
    line.close()


def opening(identity, role=Role.OWNER, key=None, stamp=None, ephemeral=bytes(range(32)), **changes):
    claims = {
        "version": 1,
        "card": identity.card,
        "boot": identity.boot,
        "role": int(role),
        "stamp": time.time_ns() if stamp is None else stamp,
        "ephemeral": ephemeral,
    }
    claims.update(changes)
    return cose.sign1(key or KEYS[role], cbor2.dumps(list(claims.values())))


def events(session):
    return [(entry["event"], entry["argument"]) for entry in Card(session).log()]


def test_a_session_carries_requests(card):
    with open_session(card) as session:
        status = Card(session).status()
        assert status["name"] == "niter-test"
        assert (status["functions"], status["ports"]) == (2, 2)
        assert status["health"] == ["time_unknown", "certificate_missing"]
        told = events(session)
        assert told[:3] == [("start", 0), ("boot", Slot.A), ("session", Role.OWNER)]


def test_the_handshake_is_what_pycose_reads(card, raw):
    identity = probe(HOST, card.port)
    question = opening(identity)
    answer = CoseMessage.decode(raw.ask(question, 2.0))
    assert answer.phdr[KID] == identity.card
    answer.external_aad = question
    answer.key = OKPKey(crv=Ed25519, x=identity.card, optional_params={"KEY_OPS": [VerifyOp]})
    assert answer.verify_signature()
    answer.external_aad = question[:-1]
    assert not answer.verify_signature()


def test_a_retry_gets_the_same_answer_and_happens_once(card, raw):
    with open_session(card) as session:
        plain = cbor2.dumps([int(Role.OWNER), int(Command.TIME_SET), [1_700_000_000_000]])
        question = session.seal(1, plain)
        first = raw.ask(question, 1.0)
        assert cbor2.loads(session.unseal(first, 1)) == [Status.OK, None]
        assert raw.ask(question, 1.0) == first
        session._counter = 1
        assert [event for event, _ in events(session)].count("time") == 1


def test_an_opening_that_is_repeated_gets_the_same_answer(card, raw):
    question = opening(probe(HOST, card.port))
    first = raw.ask(question, 2.0)
    assert first is not None
    assert raw.ask(question, 1.0) == first


@pytest.mark.parametrize("counter", [0, 1, 3, 4, 2**32 - 1])
def test_a_counter_that_is_not_the_next_meets_silence(card, raw, counter):
    with open_session(card) as session:
        session.request(Command.STATUS)
        plain = cbor2.dumps([int(Role.OWNER), int(Command.PORT_LIST), [0]])
        assert raw.ask(session.seal(counter, plain)) is None
        assert session.request(Command.PORT_LIST, 0) == [[], None]


def test_roles_limit_what_can_be_done(card):
    with open_session(card, Role.OBSERVER) as session:
        for command in (Command.TIME_SET, Command.PORT_SET, Command.RESET, Command.POLICY_WRITE):
            with pytest.raises(RequestError) as error:
                session.request(command)
            assert error.value.status == Status.FORBIDDEN
        session.role = Role.OWNER
        with pytest.raises(RequestError) as error:
            session.request(Command.RESET)
        assert error.value.status == Status.FORBIDDEN
    with open_session(card, Role.OPERATOR) as session:
        session.request(Command.TIME_SET, 1_700_000_000_000)
        with pytest.raises(RequestError) as error:
            session.request(Command.RESET)
        assert error.value.status == Status.FORBIDDEN


@pytest.mark.parametrize(
    ("why", "change"),
    [
        (1, {"key": Ed25519PrivateKey.from_private_bytes(bytes([9] * 32))}),
        (2, {"key": KEYS[Role.OBSERVER]}),
        (3, {"stamp": 0}),
        (5, {"card": bytes(32)}),
        (5, {"boot": bytes(16)}),
        (5, {"version": 2}),
        (None, {"ephemeral": bytes(31)}),
        (None, {"more": 1}),
        (None, {"ephemeral": bytes(32)}),  # The shared secret would be known to all.
    ],
)
def test_a_wrong_opening_meets_silence(card, raw, why, change):
    assert raw.ask(opening(probe(HOST, card.port), **change)) is None
    with open_session(card) as session:
        told = [argument for event, argument in events(session) if event == "refused"]
        assert told == ([] if why is None else [why])


def test_a_wrong_signature_meets_silence(card, raw):
    question = opening(probe(HOST, card.port))
    assert raw.ask(question[:-1] + bytes([question[-1] ^ 1])) is None
    with open_session(card) as session:
        assert ("refused", 4) in events(session)


def test_an_opening_from_an_earlier_boot_meets_silence(tmp_path):
    card = HostCard(tmp_path, POLICY, seed=1)
    with card:
        question = opening(probe(HOST, card.port))
    card.start(seed=2)
    try:
        line = Raw(card)
        assert line.ask(question) is None
        line.close()
        with open_session(card) as session:
            assert ("refused", 5) in events(session)
    finally:
        card.stop()


def test_a_recorded_opening_cannot_push_a_session_out(card, raw):
    recorded = opening(probe(HOST, card.port))
    assert raw.ask(recorded, 2.0) is not None
    sessions = [open_session(card, timeout=1.0) for _ in range(3)]
    assert raw.ask(recorded) is None
    for session in sessions:
        session.request(Command.STATUS)
        session.close()


def test_no_more_signatures_are_checked_than_the_limit_lets(card, raw):
    identity = probe(HOST, card.port)
    for number in range(20):
        raw.ask(opening(identity, stamp=number + 1)[:-1] + b"\0", 0.02)
    time.sleep(3)
    with open_session(card) as session:
        told = events(session)
        assert 0 < [event for event, _ in told].count("refused") <= 6
        # Those that come while a signature is being checked are lost before they are counted.
        assert sum(argument for event, argument in told if event == "limited") >= 5


def test_another_card_is_not_mistaken_for_ours(card):
    with pytest.raises(CardError, match="not 00"):
        Session(HOST, card.port, key=KEYS[Role.OWNER], card=bytes(32))


def test_a_card_without_randomness_opens_no_session(tmp_path):
    with HostCard(tmp_path, POLICY, broken_random=True) as card, pytest.raises(SilentError):
        open_session(card, timeout=0.05, retries=2)


def test_a_card_without_a_policy_opens_no_session(tmp_path):
    with HostCard(tmp_path, None) as card, pytest.raises(SilentError):
        probe(HOST, card.port, timeout=0.05, retries=2)


def test_a_probe_is_answered_with_no_more_than_it_brings(card, raw):
    question = cbor2.dumps([1, bytes(16), bytes(PROBE_PADDING)])
    assert len(raw.ask(question)) <= len(question)
    for length in (0, PROBE_PADDING - 1, PROBE_PADDING + 1):
        assert raw.ask(cbor2.dumps([1, bytes(16), bytes(length)]), 0.05) is None


def test_a_request_that_is_malformed_is_told_so(card):
    with open_session(card) as session:
        for arguments in ((99,), (Command.STATUS, 1), (Command.LOG,), (Command.LOG, "0")):
            with pytest.raises(RequestError) as error:
                session.request(*arguments)
            assert error.value.status == Status.MALFORMED


def test_keys_of_a_session_are_not_those_of_another(card):
    with open_session(card) as one, open_session(card) as other:
        assert one._session != other._session
        assert {one._to_card, one._to_us}.isdisjoint({other._to_card, other._to_us})
        assert one._to_card != one._to_us


def test_the_policy_is_replaced_at_the_next_reset(tmp_path):
    key = Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
    new = type(POLICY)("other", POLICY.mac, POLICY.ipv4, None, {cose.public_bytes(key): Role.OWNER})
    card = HostCard(tmp_path, POLICY)
    card.start()
    with open_session(card) as session:
        ours = Card(session)
        ours.write_policy(new)
        assert ours.policy() == new
        assert ours.status()["name"] == "niter-test"
        ours.reset()
    assert card.wait() == 3
    card.stop()
    with card:
        with open_session(card, key=key) as session:
            assert Card(session).status()["name"] == "other"
        with pytest.raises(SilentError):
            open_session(card, timeout=0.05, retries=2)


@pytest.mark.parametrize("operation", range(1, 4))
def test_a_power_cut_leaves_the_old_policy_or_the_new(tmp_path, operation):
    new = type(POLICY)("other", POLICY.mac, POLICY.ipv4, POLICY.ipv6, POLICY.keys)
    card = HostCard(tmp_path, POLICY)
    # A third would be that of the confirmation, when the answer is on its way.
    card.start(cut=operation if operation < 3 else 0)
    with open_session(card, timeout=0.1, retries=1) as session:
        if operation < 3:
            with pytest.raises(SilentError):
                Card(session).write_policy(new)
            assert card.wait() == 4
        else:
            Card(session).write_policy(new)
    card.stop()
    with card, open_session(card) as session:
        assert Card(session).status()["name"] == ("other" if operation == 3 else "niter-test")


def test_a_policy_that_nobody_could_replace_is_refused(card):
    with open_session(card) as session:
        for data in (b"", b"\x80", POLICY.encode()[:-1], POLICY.encode() + b"\0", bytes(CHUNK)):
            with pytest.raises(RequestError):
                session.request(Command.POLICY_WRITE, data)
        fields = cbor2.loads(POLICY.encode())
        for field, value in ((0, 2), (1, ""), (1, "ä"), (2, b""), (5, []), (5, fields[5][:1])):
            changed = [*fields[:field], value, *fields[field + 1 :]]
            with pytest.raises(RequestError):
                session.request(Command.POLICY_WRITE, cbor2.dumps(changed))
        doubled = [*fields[:5], [fields[5][2], fields[5][2]]]
        with pytest.raises(RequestError):
            session.request(Command.POLICY_WRITE, cbor2.dumps(doubled))
        assert Card(session).policy() == POLICY


def test_the_identity_follows_from_secret_and_signer_alone(tmp_path):
    def identity(number, **options):
        folder = tmp_path / str(number)
        folder.mkdir()
        with HostCard(folder, POLICY, **options) as card:
            return probe(HOST, card.port).card

    first = identity(0, secret="a")
    assert identity(1, secret="a", firmware="other") == first
    assert identity(2, secret="b") != first
    assert identity(3, secret="a", signer="other") != first
