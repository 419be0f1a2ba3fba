"""Datagrams that no client would send, against the firmware under sanitizers.

A failure names its seed; ``NITER_SEED`` runs that one alone.
"""

import os
import random
import time
from contextlib import closing

import cbor2
import pytest

from firmware.host.process import HostCard
from niterctl import cose
from niterctl.card import Card
from niterctl.client import probe
from niterctl.protocol import PROBE_PADDING, Command, Role, Status

from .conftest import HOST, KEYS, POLICY, open_session
from .test_session import Raw, opening

SEEDS = [int(os.environ["NITER_SEED"])] if "NITER_SEED" in os.environ else [1, 2]

#: Of the card's clock, and how often it checks a signature then.
SPEED, OPENINGS_S = 60, 0.0085

#: The card looks at one datagram each 4 ms in the long run, and drops the rest.
PERIOD_S = 0.0045


@pytest.fixture
def raw(card):
    line = Raw(card)
    yield line
    line.close()


def met_by_silence(raw, datagrams) -> None:
    """Send all; not one may be answered."""
    raw.socket.setblocking(False)
    for number, datagram in enumerate(datagrams):
        raw.socket.send(datagram)
        time.sleep(PERIOD_S)
        try:
            answer = raw.socket.recv(4096)
        except BlockingIOError:
            continue
        raise AssertionError(f"Datagram {number}, {datagram.hex()}, got {answer.hex()}")


def cuts(datagram: bytes):
    """The datagram without its last bytes, at each length; and with one more."""
    return [datagram[:length] for length in range(1, len(datagram))] + [datagram + b"\0"]


def flips(datagram: bytes, draw: random.Random):
    """One bit of each byte another."""
    for at, byte in enumerate(datagram):
        yield datagram[:at] + bytes([byte ^ 1 << draw.randrange(8)]) + datagram[at + 1 :]


def test_a_cut_opening_meets_silence(card, raw):
    met_by_silence(raw, cuts(opening(probe(HOST, card.port))))
    open_session(card).close()


def test_a_cut_probe_meets_silence(card, raw):
    met_by_silence(raw, cuts(cbor2.dumps([1, bytes(16), bytes(PROBE_PADDING)])))


def settle(line, number) -> None:
    """Wait until the card is idle: it answers a probe, and has answered nothing before it."""
    nonce = number.to_bytes(16, "little")
    for _ in range(200):
        answer = line.ask(cbor2.dumps([1, nonce, bytes(PROBE_PADDING)]), 0.02)
        if answer is None:
            continue
        kind, echo, *_ = cbor2.loads(answer)
        assert kind == 2, f"Datagram {number} got {answer.hex()}"
        if echo == nonce:
            return
    raise AssertionError("The card does not come back")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_opening_meets_silence(tmp_path, seed):
    """Each of them as far as its signature: the card's clock runs so fast that no limit is met."""
    with (
        HostCard(tmp_path, POLICY, speed=SPEED) as card,
        open_session(card, timeout=2.0) as session,
        closing(Raw(card)) as line,
    ):
        events = []
        question = opening(probe(HOST, card.port))
        for number, datagram in enumerate(flips(question, random.Random(seed))):
            line.socket.send(datagram)
            settle(line, number)
            time.sleep(2 * OPENINGS_S)
            if number % 16 == 0:
                events += Card(session).log()
        kinds = {(entry["number"], entry["event"]) for entry in events}
        assert [kind for _, kind in kinds].count("session") == 1
        assert {kind for _, kind in kinds} == {
            "start",
            "boot",
            "session",
            "confirmed",
            "refused",
        }
        # What it was made of is taken.
        assert line.ask(question, 5.0) is not None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_probe_changes_no_more_than_its_echo(card, raw, seed):
    question = cbor2.dumps([1, bytes(16), bytes(PROBE_PADDING)])
    answers = []
    for at, datagram in enumerate(flips(question, random.Random(seed))):
        time.sleep(PERIOD_S)
        answer = raw.ask(datagram, 0.02)
        assert answer is None or len(answer) <= len(datagram), at
        if answer:
            kind, nonce, *identity = cbor2.loads(answer)
            answers.append((at, kind, nonce == datagram[3:19], tuple(identity)))
    # Nonce and padding may be anything.
    changed = {*range(3, 19), *range(len(question) - PROBE_PADDING, len(question))}
    assert {at for at, *_ in answers} == changed
    assert len(answers) == len(changed) and len({answer[1:] for answer in answers}) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_or_cut_request_meets_silence(card, raw, seed):
    with open_session(card) as session:
        plain = cbor2.dumps([int(Role.OWNER), int(Command.PORT_REMOVE), [0]])
        question = session.seal(1, plain)
        met_by_silence(raw, cuts(question))
        met_by_silence(raw, flips(question, random.Random(seed)))
        # Nothing of it counted: the request itself is still the next one.
        answer = raw.ask(question, 2.0)
        assert cbor2.loads(session.unseal(answer, 1)) == [Status.MISSING, None]


def unusual() -> list[bytes]:
    """Requests that say what is allowed in a way that is not: RFC 8949, 4.2.1."""
    remove = [int(Role.OWNER), int(Command.PORT_REMOVE), [0]]
    plain = cbor2.dumps(remove)
    return [
        # Numbers and lengths that are not the shortest, and such that have no end.
        b"\x83\x18\x02\x05\x81\x00",
        b"\x83\x02\x19\x00\x05\x81\x00",
        b"\x83\x02\x05\x81\x1b" + bytes(8),
        b"\x98\x03\x02\x05\x81\x00",
        b"\x9f\x02\x05\x81\x00\xff",
        b"\x83\x02\x05\x9f\x00\xff",
        b"\x83\x02\x05\x98\x01\x00",
        # Tags, nothing, and more lists within lists than anybody needs.
        b"\xc0" + plain,
        b"\x83\x02\x05\xc1\x81\x00",
        b"",
        b"\xf6",
        b"\x81" * 1000,
        b"\x83\x02\x05" + b"\x81" * 1000,
        b"\x9f" * 1000,
        b"\xa1\x00" * 500,
        b"\x83\x02\x05\x5b" + b"\xff" * 8,
        b"\x83\x02\x05\x9b" + b"\xff" * 8,
        b"\x83\x02\x05\xbb" + b"\xff" * 8,
    ]


def test_an_unusual_encoding_is_malformed(card, raw):
    with open_session(card, timeout=1.0) as session:
        Card(session).add_port(0, "02:00:00:00:00:01", 5)
        for counter, plain in enumerate(unusual(), 2):
            time.sleep(PERIOD_S)
            answer = raw.ask(session.seal(counter, plain), 3.0)
            assert answer is not None, plain.hex()
            status, _ = cbor2.loads(session.unseal(answer, counter))
            assert status == Status.MALFORMED, plain.hex()
            # The client counts on from here.
            session._counter = counter
        assert len(Card(session).ports()) == 1


def header(*pairs) -> bytes:
    """A map with its keys in this order, however often."""
    return bytes([0xA0 + len(pairs)]) + b"".join(cbor2.dumps(k) + cbor2.dumps(v) for k, v in pairs)


@pytest.mark.parametrize(
    "pairs",
    [
        [(1, -8), (1, -8), (4, None)],
        [(1, -8), (4, None), (4, None)],
        [(4, None), (1, -8)],
        [(1, -8)],
        [(1, -7), (4, None)],
        [(1, -8), (4, None), (5, b"")],
    ],
)
def test_headers_that_are_not_the_ones_meet_silence(card, raw, pairs):
    """A key twice, in another order, missing, or one more, under a signature that is right."""
    key = KEYS[Role.OWNER]
    identity = probe(HOST, card.port)
    claims = [1, identity.card, identity.boot, 2, time.time_ns(), bytes(range(32))]
    payload = cbor2.dumps(claims)
    public = cose.public_bytes(key)
    protected = header(*((name, public if value is None else value) for name, value in pairs))
    signature = key.sign(cbor2.dumps(["Signature1", protected, b"", payload]))
    met_by_silence(raw, [cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, signature]))])
    # The same with the right header is taken.
    protected = header((1, -8), (4, public))
    signature = key.sign(cbor2.dumps(["Signature1", protected, b"", payload]))
    good = cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, signature]))
    assert raw.ask(good, 2.0) is not None


def item(draw: random.Random, depth: int = 0):
    """Something that CBOR can say."""
    kinds = [
        lambda: draw.choice([0, 1, 23, 24, 255, 2**16, 2**32 - 1, 2**32, 2**64 - 1, -1, -(2**40)]),
        lambda: draw.randbytes(draw.choice([0, 1, 4, 6, 16, 32, 200])),
        lambda: "x" * draw.randrange(40),
        lambda: draw.choice([None, True, False, 1.5]),
    ]
    if depth < 4:
        kinds.append(lambda: [item(draw, depth + 1) for _ in range(draw.randrange(5))])
        kinds.append(lambda: {draw.randrange(9): item(draw, depth + 1)})
    return draw.choice(kinds)()


#: What each command takes, so that a request is right but for one place.
ARGUMENTS = {
    Command.STATUS: [],
    Command.COUNTERS: [0, 0],
    Command.PORT_LIST: [0],
    Command.PORT_SET: [0, bytes([2, 0, 0, 0, 0, 1]), 5, [bytes([10, 0, 0, 1])], 0],
    Command.PORT_REMOVE: [0],
    Command.ROUTE_LIST: [0],
    Command.ROUTE_SET: [
        5,
        bytes([2, 0, 0, 0, 0, 2]),
        [bytes([198, 51, 100, 2]), bytes([2, 0, 0, 0, 0, 9]), 0, False, False],
        [bytes([10, 0, 0, 2])],
    ],
    Command.ROUTE_REMOVE: [5, bytes([2, 0, 0, 0, 0, 2])],
    Command.TIME_SET: [1_700_000_000_000],
    Command.LOG: [0],
    Command.ATTEST: [bytes(32), b""],
    Command.ATTEST_READ: [0],
    Command.POLICY_READ: [],
    Command.POLICY_WRITE: [bytes(40)],
    Command.TUNNEL_LIST: [0],
    Command.UPDATE_BEGIN: [5000],
    Command.UPDATE_WRITE: [0, bytes(300)],
    Command.UPDATE_END: [],
}


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_a_request_says_it_is_answered(card, raw, seed):
    """Sealed as it should be: each request gets an answer, and the next one is taken."""
    draw = random.Random(seed)
    with open_session(card, timeout=1.0) as session:
        for counter in range(1, 401):
            command = draw.choice(list(ARGUMENTS))
            arguments = list(ARGUMENTS[command])
            request = [int(Role.OWNER), int(command), arguments]
            change = draw.randrange(5)
            if change == 0 and arguments:
                arguments[draw.randrange(len(arguments))] = item(draw)
            elif change == 1:
                arguments.insert(draw.randrange(len(arguments) + 1), item(draw))
            elif change == 2 and arguments:
                del arguments[draw.randrange(len(arguments))]
            elif change == 3:
                request[draw.randrange(2)] = item(draw)
            plain = cbor2.dumps(request)
            if change == 4:
                at = draw.randrange(len(plain))
                plain = draw.choice([plain[:at], plain + b"\0", plain[:at] + b"\xff" + plain[at:]])
            time.sleep(PERIOD_S)
            answer = raw.ask(session.seal(counter, plain[:1000]), 3.0)
            assert answer is not None, f"seed {seed}: no answer to {plain.hex()}"
            status, _ = cbor2.loads(session.unseal(answer, counter))
            assert status in set(Status), f"seed {seed}: {status} for {plain.hex()}"
