"""Tests of bad input: what is answered, what is logged, and that all else goes on."""

import struct

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.pcie.core.tlp import CplStatus, Tlp, TlpType

from niter.pcie.tl.header import MessageCode
from niter.pcie.tl.layouts import ErrorReport
from sim.harness import rng, seed
from sim.models.root import Message
from sim.models.streams import Packet, PacketSink, stalls

from .setup import EXPRESS, Setup

__all__ = [
    "errors_from_the_other_half",
    "forwarded_completions",
    "fuzz",
    "malformed",
    "messages",
    "poisoned_requests",
    "refused_requests",
]

CORRECTABLE, NONFATAL, FATAL, UNSUPPORTED = 1, 2, 4, 8


async def report_everything(setup: Setup) -> None:
    """Let all functions send error messages, and forget old errors."""
    for number in range(3):
        await setup.write_configuration(number, EXPRESS + 8, 0x281F, 0b0011)
        await setup.device_status(number)
    setup.root.link.messages.clear()


def take_messages(setup: Setup) -> list[Message]:
    messages = list(setup.root.link.messages)
    setup.root.link.messages.clear()
    return messages


async def alive(setup: Setup) -> None:
    """All functions still answer."""
    for number in range(3):
        address = setup.bar(number) + 0x80
        await setup.send(setup.memory(address, data=bytes([number, 1, 2, 3])))
        completion = (await setup.ask(setup.memory(address)))[0]
        assert completion.data == bytes([number, 1, 2, 3]), repr(completion)


@cocotb.test()
async def refused_requests(dut):
    """I/O, locked, atomic and stray memory requests are Unsupported Requests."""
    setup = await Setup.make(dut)
    await report_everything(setup)
    base = setup.bar(1)
    read = setup.memory(base)
    for fmt_type, size, data in (
        (TlpType.IO_READ, 1, b""),
        (TlpType.IO_WRITE, 1, bytes(4)),
        (TlpType.FETCH_ADD, 1, bytes(4)),
        (TlpType.SWAP_64, 2, bytes(8)),
        (TlpType.CAS, 2, bytes(8)),
        (TlpType.CAS_64, 8, bytes(32)),
    ):
        tlp = Tlp(read)
        tlp.fmt_type, tlp.length, tlp.data = fmt_type, size, bytearray(data)
        assert await setup.status_of(tlp) == CplStatus.UR, fmt_type
    for fmt_type in (TlpType.MEM_READ_LOCKED, TlpType.MEM_READ_LOCKED_64):
        tlp = Tlp(read)
        tlp.fmt_type = fmt_type
        completion = (await setup.ask(tlp))[0]
        assert (completion.fmt_type, completion.status) == (TlpType.CPL_LOCKED, CplStatus.UR)
    nowhere = setup.memory(0xF000_0000, 16, last=0xF)
    completion = (await setup.ask(nowhere))[0]
    assert completion.status == CplStatus.UR and completion.byte_count == 64
    for number in range(3):
        assert await setup.device_status(number) == CORRECTABLE | UNSUPPORTED
    assert take_messages(setup) == [], "the requester has been told by the completion"
    # A posted request's sender is not told: that is not advisory.
    await setup.send(setup.memory(0xF000_0000, data=bytes(64)))
    await setup.settle(200)
    for number in range(3):
        assert await setup.device_status(number) == NONFATAL | UNSUPPORTED
        assert (
            Message(setup.identifier(number), MessageCode.ERR_NONFATAL)
            in (setup.root.link.messages)
            or number
        )
    assert {m.code for m in take_messages(setup)} == {MessageCode.ERR_NONFATAL}
    # Without Unsupported Request Reporting it is silent, unless SERR# is enabled.
    for number in range(3):
        await setup.write_configuration(number, EXPRESS + 8, 0x2817, 0b0011)
    await setup.send(setup.memory(0xF000_0000, data=bytes(4)))
    await setup.settle(200)
    assert take_messages(setup) == []
    await setup.write_configuration(0, 4, 0x0106, 0b0011)
    await setup.send(setup.memory(0xF000_0000, data=bytes(4)))
    await setup.settle(200)
    assert take_messages(setup) == [Message(setup.identifier(0), MessageCode.ERR_NONFATAL)]
    assert await setup.read_configuration(0, 4) >> 30 & 1, "Signaled System Error"
    assert not await setup.read_configuration(1, 4) >> 30 & 1
    # A function that does not decode memory, or is not enabled.
    await setup.write_configuration(2, 4, 4, 0b0001)
    assert await setup.status_of(setup.memory(setup.bar(2))) == CplStatus.UR
    await setup.write_configuration(2, 4, 6, 0b0001)
    await alive(setup)


@cocotb.test()
async def poisoned_requests(dut):
    """Poisoned data changes nothing, and is logged."""
    setup = await Setup.make(dut)
    await report_everything(setup)
    seen = len(setup.engine(1).log)
    write = setup.memory(setup.bar(1), data=b"\xee" * 16)
    write.first_be = write.last_be = 0xF
    write.ep = True
    await setup.send(write)
    await setup.settle(200)
    assert len(setup.engine(1).log) == seen
    assert await setup.read_configuration(1, 4) >> 31, "Detected Parity Error"
    assert await setup.device_status(1) == NONFATAL
    assert take_messages(setup) == [Message(setup.identifier(1), MessageCode.ERR_NONFATAL)]
    assert await setup.device_status(0) == 0
    tlp = setup.configuration(2, 0x3C, b"\x77\0\0\0")
    tlp.ep = True
    assert await setup.status_of(tlp) == CplStatus.UR
    assert await setup.read_configuration(2, 0x3C) == 0
    assert await setup.read_configuration(2, 4) >> 31
    assert take_messages(setup) == []
    await alive(setup)


def message(code: int, routing: int, data: bytes = b"") -> bytes:
    """A message as the root sends it."""
    return (
        struct.pack(
            ">BBHHBBQ", (0x70 if data else 0x30) | routing, 0, len(data) // 4, 0, 0, code, 0
        )
        + data
    )


@cocotb.test()
async def messages(dut):
    """Messages are ignored, acknowledged or refused as section 2.2.8 has it."""
    setup = await Setup.make(dut)
    await report_everything(setup)
    link = setup.root.link
    for code, routing, data in (
        (MessageCode.UNLOCK, 0b011, b""),
        (MessageCode.PM_ACTIVE_STATE_NAK, 0b100, b""),
        (MessageCode.SET_SLOT_POWER_LIMIT, 0b100, bytes(4)),
        (MessageCode.VENDOR_1, 0b010, bytes(8)),
        (0x41, 0b100, b""),
    ):
        link.inject(message(code, routing, data))
        await setup.settle(100)
        assert await setup.device_status(0) == 0, hex(code)
    assert take_messages(setup) == []
    link.inject(message(MessageCode.PME_TURN_OFF, 0b011))
    await setup.settle(100)
    assert take_messages(setup) == [Message(setup.identifier(0), MessageCode.PME_TO_ACK)]
    for code in (MessageCode.VENDOR_0, 0x10, 0x52):
        link.inject(message(code, 0b100))
        await setup.settle(200)
        assert await setup.device_status(0) == NONFATAL | UNSUPPORTED, hex(code)
        assert MessageCode.ERR_NONFATAL in {m.code for m in take_messages(setup)}
    await alive(setup)


@cocotb.test()
async def malformed(dut):
    """Malformed TLPs are fatal errors, and have no other effect."""
    setup = await Setup.make(dut)
    await report_everything(setup)
    link, base = setup.root.link, setup.bar(0)
    write = setup.memory(base, data=bytes(range(16)))
    write.last_be = 0xF
    good = bytes(write.pack())
    long = setup.memory(base, data=bytes(132))
    long.last_be = 0xF
    read = bytes(setup.memory(base).pack())
    configuration = bytes(setup.configuration(0, 0).pack())
    cases = {
        "shorter than its length": good[:-4],
        "longer than its length": good + bytes(4),
        "much longer": good + bytes(40),
        "cut in its header": good[:8],
        "a prefix": bytes([0x80]) + good[1:],
        "an unknown type": bytes([0x1B]) + read[1:],
        "data with a locked read": bytes([0x41]) + good[1:],
        "beyond Max_Payload_Size": bytes(long.pack()),
        "configuration of two doublewords": configuration[:3] + b"\2" + configuration[4:],
        "configuration with 64-bit address": bytes([0x24]) + configuration[1:] + bytes(4),
        "a read with data": read + bytes(4),
        "a digest that is missing": good[:2] + bytes([good[2] | 0x80]) + good[3:],
    }
    seen = [len(engine.log) for engine in setup.engines]
    for name, data in cases.items():
        link.inject(data)
        await setup.settle(250)
        assert await setup.device_status(1) == FATAL, name
        sent = take_messages(setup)
        assert sent and {m.code for m in sent} == {MessageCode.ERR_FATAL}, name
        for number in (0, 2):
            await setup.device_status(number)
    # A TLP that the link layer nullified was never there.
    link.inject(good, error=True)
    link.inject(good[:-8], error=True)
    await setup.settle(250)
    assert [await setup.device_status(number) for number in range(3)] == [0, 0, 0]
    assert [len(engine.log) for engine in setup.engines] == seen
    # With a digest a TLP is as good as without.
    with_digest = good[:2] + bytes([good[2] | 0x80]) + good[3:] + bytes(4)
    link.inject(with_digest)
    await setup.settle(100)
    assert setup.engine(0).memory[(0, 0, 5)] == 5
    await alive(setup)


@cocotb.test()
async def forwarded_completions(dut):
    """Completions are passed on byte for byte, and never wait for requests."""
    setup = await Setup.make(dut, rx_stalls=stalls(rng("rx"), 0.2, 5))
    await report_everything(setup)
    sink = PacketSink(dut, "o_completions", stalls=stalls(rng("completions"), 0.4, 6))
    random = rng("completions")
    link = setup.root.link
    # An engine that never answers holds up the requests.
    slow = setup.engine(2)
    slow.rng.randint = lambda least, most: 10_000  # type: ignore[method-assign]
    stuck = setup.memory(setup.bar(2))
    stuck.tag = 200
    await setup.send(stuck)
    for _ in range(60):
        length = random.choice((0, 1, 2, 3, 16, 31, 32))
        payload = random.randbytes(4 * length)
        digest = random.random() < 0.3
        first = (0x4A0000 if length else 0x0A0000) << 8 | digest << 15 | length
        header = struct.pack(">LLL", first, 4 * length, random.getrandbits(32) & 0xFFFFFF7F)
        end = random.random()
        data = header + payload
        if end < 0.1:
            link.inject(data + digest * bytes(4), error=True)
        elif end < 0.2:
            link.inject(data + digest * bytes(4) + bytes(4))
        elif end < 0.3 and length > 1:
            link.inject(data[:-4])
        else:
            link.inject(data + digest * bytes(4))
            packet = await setup.within(sink.recv())
            while packet.error:
                packet = await setup.within(sink.recv())
            assert packet == Packet(data), f"{packet.data.hex()} instead of {data.hex()}"
    await setup.settle(600)
    assert all(packet.error for packet in sink.take())
    link.inject(b"\x4b" + bytes(2) + b"\1" + bytes(12))
    await setup.settle(100)
    assert sink.waiting == 0, "a locked completion was never asked for"


@cocotb.test()
async def errors_from_the_other_half(dut):
    """Errors of requests that the card has sent are logged and reported."""
    setup = await Setup.make(dut)
    await report_everything(setup)

    async def report(**fields) -> None:
        dut.i_error.value = ErrorReport.const(fields).as_value().value
        await ClockCycles(dut.clk, 1)
        dut.i_error.value = 0

    await setup.write_configuration(1, 4, 0x0046, 0b0011)
    for error, device_status, status, code in (
        ({"unexpected_completion": 1}, CORRECTABLE, 0, None),
        ({"completion_timeout": 1}, NONFATAL, 0, MessageCode.ERR_NONFATAL),
        ({"poisoned": 1, "data_parity": 1}, NONFATAL, 0x8100, MessageCode.ERR_NONFATAL),
        ({"received_master_abort": 1}, 0, 0x2000, None),
        ({"received_target_abort": 1}, 0, 0x1000, None),
        ({"malformed": 1}, FATAL, 0, MessageCode.ERR_FATAL),
    ):
        await report(function=1, errors=error)
        await setup.settle(150)
        assert await setup.device_status(1) == device_status, error
        assert await setup.device_status(0) == 0
        word = await setup.read_configuration(1, 4)
        assert word >> 16 & 0xFF00 == status, f"{error}: {word:#x}"
        await setup.write_configuration(1, 4, word, 0b1100)
        assert await setup.read_configuration(1, 4) >> 16 == 0x0010
        expected = [] if code is None else [Message(setup.identifier(1), code)]
        assert take_messages(setup) == expected, error
    await report(all=1, errors={"malformed": 1})
    await setup.settle(300)
    assert [await setup.device_status(n) for n in range(3)] == [FATAL] * 3
    assert len(take_messages(setup)) == 1, "what is all functions' is reported once"
    # However fast they come, every function's errors are logged.
    for number in (0, 1, 2, 1, 0):
        await report(function=number, errors={"unexpected_completion": 1})
        await report(function=number, errors={"poisoned": 1})
    await setup.settle(300)
    assert [await setup.device_status(n) for n in range(3)] == [CORRECTABLE | NONFATAL] * 3


def mutate(random, tlp: bytes) -> bytes:
    """Damage a TLP: bits of its header, its length, or its end."""
    data = bytearray(tlp)
    for _ in range(random.randrange(1, 4)):
        choice = random.random()
        if choice < 0.5:
            data[random.randrange(min(16, len(data)))] ^= 1 << random.randrange(8)
        elif choice < 0.7:
            data[0] = random.randrange(256)
        elif choice < 0.85 and len(data) > 4:
            del data[-4 * random.randrange(1, len(data) // 4) :]
        else:
            data += random.randbytes(4 * random.randrange(1, 20))
    return bytes(data)


@cocotb.test()
async def fuzz(dut):
    """Damaged TLPs among good requests: the good ones are served, and nothing hangs."""
    setup = await Setup.make(
        dut, rx_stalls=stalls(rng("rx"), 0.2, 4), tx_stalls=lambda: stalls(rng("tx"), 0.3, 6)
    )
    random, link = rng("fuzz"), setup.root.link
    sink = PacketSink(dut, "o_completions", stalls=stalls(rng("completions"), 0.3, 4))
    answered = {}

    async def take(tlp: Tlp) -> None:
        answered[tlp.tag] = tlp
        tlp.release_fc()

    # What the damaged requests are answered with is for nobody.
    setup.root.port.downstream_port.rx_handler = take

    def request() -> Tlp:
        number = random.randrange(3)
        tlp = setup.memory(
            setup.bar(number, random.choice((0, 2))) + 4 * random.randrange(0x400),
            random.randrange(1, 6),
            0xF,
            0xF,
            random.randbytes(4 * random.randrange(1, 9)) if random.random() < 0.5 else b"",
        )
        if random.random() < 0.2:
            tlp = setup.configuration(number, 4 * random.randrange(64))
        tlp.tag = 0xFF
        return tlp

    for round_ in range(150):
        for _ in range(random.randrange(1, 4)):
            link.inject(mutate(random, bytes(request().pack())), error=random.random() < 0.1)
        probe = setup.configuration(random.randrange(3), 0)
        probe.tag = round_ % 64
        answered.pop(probe.tag, None)
        link.inject(bytes(probe.pack()))
        for _ in range(400):
            if probe.tag in answered and answered[probe.tag].status == CplStatus.SC:
                break
            await ClockCycles(dut.clk, 10)
        else:
            raise AssertionError(f"no answer in round {round_} of seed {seed()}")
        # A mutant may have switched off or reset a function: that is its right.
        expected = (0x1041 if probe.completer_id.function == 0 else 0x1042) << 16 | 0x1AF4
        word = int.from_bytes(answered[probe.tag].data, "little")
        assert word == expected, f"{word:#x} in round {round_} of seed {seed()}"
    sink.take()
