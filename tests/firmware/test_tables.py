"""What the firmware writes into the overlay's tables, read as the gateware reads them.

The oracle is ``sim.models.overlay``, which benches put whole cards to work with: its writes and the
firmware's must say the same.
"""

from ipaddress import ip_address
from random import Random

import pytest

from firmware.host.build import CONFIG
from niter.net import (
    LOCAL,
    MAPPING_HASH,
    UNDERLAY_NETWORK,
    UNDERLAY_VNI,
    KeyKind,
    PortRecord,
    SlotLayout,
    Steer,
)
from niterctl.card import Tunnel
from niterctl.client import RequestError
from niterctl.protocol import Status
from sim.models.overlay import OverlayTables
from sim.models.overlay import Tunnel as ModelTunnel

from .conftest import POLICY

OVERLAY = CONFIG.overlay
MAPPING = "overlay.transmit.classify.mapping.words"
STATION, PORT_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01"
VIA = Tunnel(ip_address("198.51.100.2"), "02:00:00:00:00:99")


def model():
    return OverlayTables(
        OVERLAY, mac=POLICY.mac.hex(":"), ipv4=str(POLICY.ipv4), ipv6=str(POLICY.ipv6)
    )


def written(tables, path):
    """Words that the model has written to a table, by their index."""
    return {word: value for where, word, value in tables.writes if where == path}


def search(card_words, kind, vni, key, count):
    """What the gateware's lookup finds, as its docstring has it; None when it finds nothing."""
    words, networks = card_words
    place = SlotLayout(ipv6=OVERLAY.ipv6)
    # Numbers of networks are the firmware's to give: any that leads to the key is the right one.
    for network in [UNDERLAY_NETWORK] if vni == UNDERLAY_VNI else networks:
        parts = [key >> 16 * n & 0xFFFF for n in range(count)]
        digest = MAPPING_HASH.compute([*parts, network | kind.value << 8])
        bits = (OVERLAY.slots // 2).bit_length() - 1
        for bucket in (digest & (1 << bits) - 1, digest >> 16 - bits):
            for slot in (2 * bucket, 2 * bucket + 1):
                row = row_at(words, slot, place)
                if cut(row, place.KIND) != kind.value or cut(row, place.NETWORK) != network:
                    continue
                if kind == KeyKind.IPV6:
                    rest = row_at(words, slot + 1, place)
                    low = place.IPV6_LOW.stop - place.IPV6_LOW.start
                    found = cut(row, place.IPV6_LOW) | cut(rest, place.IPV6_HIGH) << low
                    value = cut(rest, place.NEIGHBOUR)
                else:
                    wide = kind == KeyKind.MAC
                    found = cut(row, place.MAC if wide else place.IPV4)
                    value = cut(row, place.DESTINATION if wide else place.NEIGHBOUR)
                if found == key:
                    return value
    return None


def row_at(words, slot, place):
    """A slot as one number."""
    row = [words[n * OVERLAY.slots + slot] << place.WORD * n for n in range(place.words)]
    return sum(row)


def cut(row, bits):
    return row >> bits.start & (1 << bits.stop - bits.start) - 1


def table(card):
    words = card.words(MAPPING, 0, SlotLayout(ipv6=OVERLAY.ipv6).words * OVERLAY.slots)
    return words, sorted({word >> 2 & 0xFF for word in words[: OVERLAY.slots] if word & 3})


def number(text):
    return int(text.replace(":", ""), 16)


def target(words, vni, mac):
    return search(words, KeyKind.MAC, vni, number(mac), 3)


def who_has(words, vni, address):
    parsed = ip_address(address)
    kind, count = (KeyKind.IPV4, 2) if parsed.version == 4 else (KeyKind.IPV6, 8)
    found = search(words, kind, vni, int(parsed), count)
    return None if found is None else found.to_bytes(6, "big").hex(":")


def test_the_card_starts_closed_and_with_its_own_endpoint(card, owner):
    assert card.words("overlay.transmit.classify.ports.words", PortRecord.MAC_HIGH) == [0]
    assert card.words("overlay.receive.steer.words", PortRecord.MAC_HIGH) == [0]
    expected = written(model(), "tunnel.words")
    for word, value in expected.items():
        assert card.words("overlay.tunnel.words", word) == [value]
    words = table(card)
    assert who_has(words, UNDERLAY_VNI, str(POLICY.ipv4)) == POLICY.mac.hex(":")
    assert who_has(words, UNDERLAY_VNI, str(POLICY.ipv6)) == POLICY.mac.hex(":")
    assert card.words("card.release") == [3]


def test_a_port_is_what_the_model_makes_it(card, owner):
    addresses = ("10.0.0.1", "2001:db8:1::1", "10.0.0.7")
    owner.add_port(1, PORT_MAC, 0x123456, tuple(map(ip_address, addresses)))
    tables = model()
    tables.port(1, PORT_MAC, 0x123456, addresses)
    for path in ("transmit.classify.ports.words", "receive.steer.words"):
        for word, value in written(tables, path).items():
            assert card.words(f"overlay.{path}", word) == [value], (path, word)
    words = table(card)
    assert target(words, 0x123456, PORT_MAC) == LOCAL
    for address in addresses:
        assert who_has(words, 0x123456, address) == PORT_MAC
    assert owner.ports() == [
        {
            "function": 1,
            "mac": PORT_MAC,
            "vni": 0x123456,
            "addresses": ["10.0.0.1", "10.0.0.7", "2001:db8:1::1"],
            "rate": 0,
        }
    ]


def test_a_port_that_is_removed_is_closed_and_forgotten(card, owner):
    owner.add_port(0, PORT_MAC, 5, (ip_address("10.0.0.1"),))
    owner.remove_port(0)
    assert card.words("overlay.transmit.classify.ports.words", PortRecord.MAC_HIGH) == [0]
    assert card.words("overlay.receive.steer.words", PortRecord.MAC_HIGH) == [0]
    words = table(card)
    assert target(words, 5, PORT_MAC) is None
    assert who_has(words, 5, "10.0.0.1") is None
    assert owner.ports() == []
    with pytest.raises(RequestError) as error:
        owner.remove_port(0)
    assert error.value.status == Status.MISSING


def test_a_port_shows_its_address_to_the_driver(card, owner):
    owner.add_port(1, "02:11:22:33:44:55", 5)
    # The last word that was written: end of the address, and the link.
    assert card.words("net.config.value") == [0x5544 | 1 << 16]
    assert card.words("net.config.select") == [1 | 1 << 8]
    assert card.words("overlay.receive.steer.words", Steer.STRIDE, 3) == [
        0x22334455,
        0x0211 | PortRecord.OPEN,
        5,
    ]


@pytest.mark.parametrize("remote", ["198.51.100.2", "2001:db8::9"])
@pytest.mark.parametrize("geneve", [False, True])
@pytest.mark.parametrize("checksum", [False, True])
def test_a_tunnel_is_what_the_model_makes_it(card, owner, remote, geneve, checksum):
    tunnel = Tunnel(ip_address(remote), "02:00:00:00:00:99", 1, geneve, checksum)
    owner.add_route(5, STATION, tunnel)
    tables = model()
    tables.tunnel(ModelTunnel(remote, tunnel.next_hop, 1, geneve, checksum))
    expected = written(tables, "transmit.encapsulate.words")
    assert len(expected) > 10
    for word, value in expected.items():
        assert card.words("overlay.transmit.encapsulate.words", word) == [value], word
    assert owner.tunnels() == {0: tunnel}


def test_a_route_leads_to_its_tunnel_and_back_to_nothing(card, owner):
    addresses = tuple(map(ip_address, ("10.0.0.2", "2001:db8:1::2")))
    owner.add_route(5, STATION, VIA, addresses)
    words = table(card)
    assert target(words, 5, STATION) == 0
    assert [who_has(words, 5, str(a)) for a in addresses] == [STATION] * 2
    (route,) = owner.routes()
    assert (route.vni, route.mac, route.tunnel, route.addresses) == (5, STATION, 0, addresses)
    other = Tunnel(ip_address("198.51.100.3"), "02:00:00:00:00:98")
    owner.add_route(5, STATION, other)
    words = table(card)
    assert target(words, 5, STATION) == 1
    assert who_has(words, 5, "10.0.0.2") is None
    assert owner.tunnels() == {1: other}
    owner.remove_route(5, STATION)
    assert target(table(card), 5, STATION) is None
    assert (owner.tunnels(), owner.routes()) == ({}, [])


def test_broadcast_reaches_every_tunnel_of_the_network_and_the_neighbour(card, owner):
    def members(function):
        words = card.words(
            "overlay.transmit.replicate.words", function * OVERLAY.replicas, OVERLAY.replicas
        )
        end = next(n for n, word in enumerate(words) if not word >> 16)
        return {word & 0xFFFF for word in words[:end]}

    owner.add_port(0, PORT_MAC, 5)
    assert members(0) == set()
    owner.add_route(5, STATION, VIA)
    owner.add_route(6, STATION, Tunnel(ip_address("198.51.100.3"), VIA.next_hop))
    assert members(0) == {0}
    owner.add_port(1, "02:00:00:00:00:0b", 5)
    assert (members(0), members(1)) == ({0, LOCAL}, {0, LOCAL})
    owner.remove_route(5, STATION)
    assert (members(0), members(1)) == ({LOCAL}, {LOCAL})
    owner.remove_port(1)
    assert members(0) == set()


def test_the_table_takes_as_much_as_the_models_and_loses_nothing(card, owner):
    random, stations = Random(1), {}
    refused = 0
    while not refused:
        mac = f"02:{random.randrange(1 << 40):010x}"
        mac = ":".join([mac[:2], *(mac[3:][n : n + 2] for n in range(0, 10, 2))])
        address = ip_address(random.randrange(1 << 32))
        vni = random.randrange(200) * 0x10101
        try:
            owner.add_route(vni, mac, VIA, (address,))
            stations[vni, mac] = address
        except RequestError as error:
            assert error.status == Status.FULL
            refused += 1
    assert len(stations) * 2 > OVERLAY.slots * 0.85
    words = table(card)
    for (vni, mac), address in stations.items():
        assert target(words, vni, mac) == 0
        assert who_has(words, vni, str(address)) == mac
    listed = {(route.vni, route.mac): route.addresses for route in owner.routes()}
    assert listed == {key: (address,) for key, address in stations.items()}


def test_wide_entries_find_room_beside_others(card, owner):
    random, stations = Random(2), {}
    for n in range(OVERLAY.slots // 4):
        mac, address = (
            f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}",
            ip_address(random.randrange(1 << 128)),
        )
        try:
            owner.add_route(7, mac, VIA, (address,))
            stations[mac] = address
        except RequestError as error:
            assert error.status == Status.FULL
    assert len(stations) * 3 > OVERLAY.slots * 0.55
    words = table(card)
    for mac, address in stations.items():
        assert who_has(words, 7, str(address)) == mac


@pytest.mark.parametrize(
    ("status", "call"),
    [
        (Status.RANGE, lambda c: c.add_port(2, PORT_MAC, 5)),
        (Status.RANGE, lambda c: c.add_port(0, "03:00:00:00:00:01", 5)),
        (Status.RANGE, lambda c: c.add_port(0, "00:00:00:00:00:00", 5)),
        (Status.RANGE, lambda c: c.add_port(0, PORT_MAC, UNDERLAY_VNI)),
        (Status.UNSUPPORTED, lambda c: c.add_port(0, PORT_MAC, 5, rate=10)),
        (Status.MALFORMED, lambda c: c.add_port(0, PORT_MAC, 5, (ip_address("10.0.0.1"),) * 5)),
        (Status.RANGE, lambda c: c.add_route(5, "03:00:00:00:00:01", VIA)),
        (Status.RANGE, lambda c: c.add_route(5, STATION, Tunnel(VIA.remote, VIA.next_hop, 2))),
        (Status.RANGE, lambda c: c.add_route(5, STATION, Tunnel(VIA.remote, "33:33:00:00:00:01"))),
        (
            Status.RANGE,
            lambda c: c.add_route(5, STATION, Tunnel(ip_address("0.0.0.0"), VIA.next_hop)),
        ),
        (Status.RANGE, lambda c: c.add_route(UNDERLAY_VNI, STATION, VIA)),
        (Status.MISSING, lambda c: c.remove_route(5, STATION)),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(card, owner, status, call):
    before = (
        card.words("overlay.transmit.classify.ports.words", 0, 2 * PortRecord(OVERLAY).size),
        table(card),
    )
    with pytest.raises(RequestError) as error:
        call(owner)
    assert error.value.status == status
    after = (
        card.words("overlay.transmit.classify.ports.words", 0, 2 * PortRecord(OVERLAY).size),
        table(card),
    )
    assert before == after
    assert (owner.ports(), owner.routes(), owner.tunnels()) == ([], [], {})


def test_a_ports_address_cannot_be_routed_away(card, owner):
    owner.add_port(0, PORT_MAC, 5)
    for call in (lambda: owner.add_route(5, PORT_MAC, VIA), lambda: owner.add_port(1, PORT_MAC, 5)):
        with pytest.raises(RequestError) as error:
            call()
        assert error.value.status == Status.STATE
    assert target(table(card), 5, PORT_MAC) == LOCAL


def test_tunnels_and_lists_end_where_the_card_does(card, owner):
    tunnels = [
        Tunnel(ip_address(f"198.51.100.{n + 1}"), VIA.next_hop) for n in range(OVERLAY.tunnels + 1)
    ]
    for n, tunnel in enumerate(tunnels[:-1]):
        owner.add_route(n, STATION, tunnel)
    with pytest.raises(RequestError) as error:
        owner.add_route(99, STATION, tunnels[-1])
    assert error.value.status == Status.FULL
    assert owner.tunnels() == dict(enumerate(tunnels[:-1]))
    for n in range(1, OVERLAY.replicas - 1):
        owner.add_route(0, f"02:00:00:00:01:{n:02x}", tunnels[n])
    with pytest.raises(RequestError) as error:
        owner.add_route(0, "02:00:00:00:02:00", tunnels[OVERLAY.replicas])
    assert error.value.status == Status.FULL


def test_counters_are_read_whole(card, owner):
    card.set_word("overlay.counters.counters", 2, 7)
    card.set_word("overlay.counters.counters", 2 * (128 + 95), 0xFFFFFFFF)
    card.set_word("overlay.counters.counters", 2 * (128 + 95) + 1, 1)
    counters = owner.counters()
    assert counters["transmit"]["function0_malformed"] == 7
    assert counters["receive"]["card_bytes"] == 0x1FFFFFFFF
    assert sum(counters["transmit"].values()) == 7
