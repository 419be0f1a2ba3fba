"""Who may send what: the source check against the rules in plain Python."""

import random

import pytest

from niter.interface import Verdict
from niter.net import OverlayConfig, PortRecord, SourceCheck
from tests.support.csr import write
from tests.support.stream import Bench

MACS = [0x02_00_00_00_00_01, 0x02_00_00_00_00_02]
VNIS, NETWORKS = [0xABCDE5, 7], [9, 200]
IPV4 = [[0x0A000001, 0x0A00000B, 0, 0xC0000201], [0x0A000002, 0, 0, 0]]
IPV6 = [[0xFD << 120 | 1, 0xFE80 << 112 | 0x11], [0xFD << 120 | 2]]
UDP, ICMPV6 = 17, 58


def verdict(config, function, frame, is_open):
    """What becomes of a frame, from the docstring of ``SourceCheck``."""
    if not is_open:
        return Verdict.PORT_CLOSED
    if frame["source"] != MACS[function] or (frame["arp"] and frame["arp_foreign"]):
        return Verdict.SOURCE_MAC
    source = frame["ip_source"]
    ports = frame["protocol"], frame["l4_source"], frame["l4_destination"]
    if frame["arp"] or frame["ipv4"]:
        if source == 0:
            free = frame["arp"] or ports == (UDP, 68, 67)
            return Verdict.PASS if free else Verdict.SOURCE_IP
        return Verdict.PASS if source in IPV4[function] else Verdict.SOURCE_IP
    if not frame["ipv6"]:
        return Verdict.PASS
    if not config.ipv6:
        return Verdict.SOURCE_IP
    message = frame["l4_source"] >> 8 if frame["protocol"] == ICMPV6 and frame["l4"] else None
    if source == 0:
        return Verdict.PASS if message in (133, 135, 143) else Verdict.SOURCE_IP
    if source in IPV6[function]:
        return Verdict.PASS
    local = message in (133, 135, 136, 143) or ports == (UDP, 546, 547)
    return Verdict.PASS if frame["link_local"] and local else Verdict.SOURCE_IP


def some_frame(rng, function):
    kind = rng.choice(["arp", "ipv4", "ipv6", "other"])
    source = MACS[function] ^ (1 << rng.randrange(48) if rng.random() < 0.2 else 0)
    frame = {"arp": kind == "arp", "ipv4": kind == "ipv4", "ipv6": kind == "ipv6"}
    table, bits = (IPV6, 128) if kind == "ipv6" else (IPV4, 32)
    address = rng.choice([0, *table[0], *table[1], rng.getrandbits(bits)])
    if address and rng.random() < 0.2:
        address ^= 1 << rng.randrange(bits)
    protocol = rng.choice([UDP, ICMPV6, 6])
    source_port = rng.choice([68, 546, 133 << 8, 135 << 8, 136 << 8, 143 << 8, 128 << 8])
    return frame | {
        "source": source,
        "arp_foreign": rng.random() < 0.1,
        "ip_source": address,
        "unspecified": address == 0,
        "link_local": kind == "ipv6" and address >> 118 == 0xFE80 >> 6,
        "protocol": protocol,
        "l4": rng.random() < 0.9,
        "l4_source": source_port,
        "l4_destination": rng.choice([67, 547, 80]),
    }


@pytest.mark.parametrize("ipv6", [False, True])
def test_a_function_sends_only_as_itself(ipv6):
    config = OverlayConfig(functions=2, ipv6=ipv6)
    dut = SourceCheck(config)
    bench = Bench(dut, 1)
    rng = random.Random(5)

    async def run(ctx):
        for function in range(2):
            base = function * dut.record.size
            for word, value in enumerate(IPV4[function], PortRecord.IPV4):
                await write(ctx, dut.bus, base + word, value)
            for n, address in enumerate(IPV6[function] if ipv6 else []):
                for part in range(4):
                    value = address >> 32 * (3 - part) & 0xFFFFFFFF
                    await write(ctx, dut.bus, base + PortRecord.IPV6 + 4 * n + part, value)
            await write(ctx, dut.bus, base + PortRecord.MAC_LOW, MACS[function] & 0xFFFFFFFF)
            await write(ctx, dut.bus, base + PortRecord.VNI, VNIS[function])
        for _ in range(400):
            function, is_open = rng.randrange(2), rng.random() < 0.9
            base = function * dut.record.size
            high = MACS[function] >> 32 | NETWORKS[function] << PortRecord.NETWORK
            high |= PortRecord.OPEN if is_open else 0
            await write(ctx, dut.bus, base + PortRecord.MAC_HIGH, high)
            frame = some_frame(rng, function)
            ctx.set(dut.meta, {"function": function, "headers": frame})
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await ctx.tick().until(dut.done)
            expected = verdict(config, function, frame, is_open)
            assert Verdict(ctx.get(dut.verdict)) == expected, (frame, is_open)
            assert ctx.get(dut.network) == NETWORKS[function]
            assert ctx.get(dut.vni) == VNIS[function]

    bench.add(run)
    bench.run(limit=30_000)
