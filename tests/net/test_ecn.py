"""Congestion marks on the way out of a tunnel, against the table of RFC 6040, 4.2."""

import random

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from niter.interface import Verdict
from niter.net import CombineEcn, OverlayConfig
from tests.support.stream import STALLS, Bench, Packet

NOT_ECT, ECT1, ECT0, CE = range(4)
#: What leaves, by what arrives inside (row) and outside (column); None is dropped.
TABLE = {
    NOT_ECT: [NOT_ECT, NOT_ECT, NOT_ECT, None],
    ECT0: [ECT0, ECT1, ECT0, CE],
    ECT1: [ECT1, ECT1, ECT1, CE],
    CE: [CE, CE, CE, CE],
}


def frame(kind, tos, tagged, ident):
    packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    if tagged:
        packet /= Dot1Q(vlan=5)
    ip = IP(src="10.0.0.1", dst="10.0.0.2", tos=tos, id=ident) if kind == 4 else IPv6(tc=tos)
    return bytes(packet / ip / UDP() / b"ecn")


def ident_for(tos, checksum):
    """An identification with which the IPv4 header's checksum is this one."""
    header = IP(frame(4, tos, False, 0)[14:])
    return (header.chksum - checksum) % 0xFFFF


@pytest.mark.parametrize("stalls", STALLS[::3])
def test_marks_are_combined(stalls):
    rng = random.Random(1)
    cases = []
    for inner, row in TABLE.items():
        for outer, result in enumerate(row):
            tos = rng.randrange(64) << 2
            # Checksums near zero and its other form, where the correction wraps.
            idents = [rng.randrange(1 << 16)]
            idents += [ident_for(tos | inner, sum_) for sum_ in (0, 1, 2, 3, 4, 0xFFFD, 0xFFFE)]
            for kind, ident in [(4, ident) for ident in idents] + [(6, 0)]:
                tagged = rng.randrange(2)
                sent = frame(kind, tos | inner, tagged, ident)
                wanted = sent if result is None else frame(kind, tos | result, tagged, ident)
                cases.append((sent, outer, kind, tos | inner, tagged, wanted, result is None))
    arp = bytes(Ether() / ARP())
    cases.append((arp, CE, 0, 0, 0, arp, False))
    dut = CombineEcn(OverlayConfig(ipv6=True))
    bench = Bench(dut, 1)
    packets = [
        Packet(
            data,
            sideband={
                "meta": {
                    "outer_ecn": outer,
                    "headers": {"ipv4": kind == 4, "ipv6": kind == 6, "tos": tos, "vlan": tagged},
                }
            },
        )
        for data, outer, kind, tos, tagged, _, _ in cases
    ]
    bench.send(dut.i, packets, stall=stalls[0])
    out = bench.receive(dut.o, len(cases), stall=stalls[1])
    bench.run(limit=20_000)
    for found, (_, _, _, _, tagged, wanted, dropped) in zip(out, cases, strict=True):
        meta = found.sideband["meta"]
        assert (meta.verdict == Verdict.CONGESTION) == dropped
        # The card counts it, not a function.
        assert bool(meta.underlay) == dropped
        if dropped or found.data == wanted:
            continue
        # Zero has two forms in ones' complement, and either is right.
        at = 28 if tagged else 24
        assert found.data[:at] + found.data[at + 2 :] == wanted[:at] + wanted[at + 2 :]
        assert {found.data[at : at + 2], wanted[at : at + 2]} == {b"\0\0", b"\xff\xff"}
