"""What stock Linux does with the card: each case is a function that fails by an exception."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from niter.virtio.net.device import VirtioNet

from .guest import Guest
from .setting import GUESTS, NETWORKS, PEERS, Setting

__all__ = ["CASES", "Case", "Skip", "clean_log"]


class Skip(Exception):
    """The case cannot run here; the text says why."""


@dataclass(frozen=True)
class Case:
    """A named case; one that is ``long`` takes minutes."""

    name: str
    run: Callable[[Setting], None]
    long: bool = False


CASES: list[Case] = []


def case(function: Callable[[Setting], None]) -> Callable[[Setting], None]:
    """Put a function on the list."""
    CASES.append(Case(function.__name__, function))
    return function


def needs_stack(setting: Setting) -> None:
    """Skip where the peer is no network stack."""
    if not setting.peer.full:
        raise Skip("the peer is no network stack: run as root")


def ping(guest: Guest, address: str, count: int = 5, size: int = 56, extra: str = "") -> str:
    """Ping; every request must be answered, the last ones within a second."""
    command = f"ping -n -i 1 -l {count} -W 5 -c {count} -s {size} {extra} {address}"
    output = guest.run(command, check=False).output
    if f" {count} received" not in output:
        raise AssertionError(f"{command}\n{output}")
    return output.strip().splitlines()[-1]


def iperf(guest: Guest, address: str, options: str, seconds: int = 10) -> tuple[float, float]:
    """Megabits a second that arrived, and per cent of datagrams lost."""
    # A block is counted when the whole of it is there; the usual 128 KiB can be a second's work.
    command = f"iperf3 -J -c {address} -t {seconds} --connect-timeout 20000 -l 8K {options}"
    result = guest.run(f"timeout 90 {command}", timeout=100, check=False)
    begin = result.output.find("{")
    report = json.loads(result.output[begin:]) if begin >= 0 else {"error": result.output}
    if "error" in report:
        raise AssertionError(f"{command}: {report['error']}")
    end = report["end"]
    total = end.get("sum_received") or end["sum"]
    rate = total["bits_per_second"] / 1e6
    if not total.get("bytes"):
        raise AssertionError(f"{command}: nothing arrived")
    return rate, total.get("lost_percent", 0.0)


def clean_log(guest: Guest, speakers: str = "virtio|0000:01:00|eth0") -> None:
    """No driver warns: nothing of these ``speakers`` at level "warning" or above."""
    pattern = rf"{speakers}|BUG|WARNING"
    lines = guest.run("dmesg -r").output.splitlines()
    bad = [line for line in lines if re.match(r"<[0-4]>", line) and re.search(pattern, line)]
    if bad:
        raise AssertionError("\n".join(bad))


@case
def configuration_space(setting: Setting) -> None:
    """Lspci shows the function and its capabilities as they are declared."""
    config = setting.card.config.card
    declared = VirtioNet(config.functions, config.pairs, config.queue_size).kind.function()
    guest = setting.guests[0]
    seen = guest.run("lspci -vvv -nn -s 01:00.0").output
    (setting.folder / "lspci.txt").write_text(seen)
    numbers = f"[{declared.vendor:04x}:{declared.device:04x}]"
    wanted = [
        numbers,
        f"(rev {declared.revision:02x})",
        "Express (v2) Endpoint",
        "FLReset+",
        f"MSI-X: Enable+ Count={declared.msix.vectors} Masked-",
        f"Vector table: BAR={declared.msix.bar} offset={declared.msix.table:08x}",
        f"PBA: BAR={declared.msix.bar} offset={declared.msix.pba:08x}",
        "Power Management version 3",
        *(f"VirtIO: {name}" for name in ("CommonCfg", "Notify", "ISR", "DeviceCfg")),
        "Kernel driver in use: virtio-pci",
        *(f"Region {bar.index}: Memory at" for bar in declared.bars),
        *(f"[size={bar.size >> 10}K]" for bar in declared.bars),
    ]
    missing = [text for text in wanted if text not in seen]
    assert not missing, f"not in lspci: {missing}\n{seen}"
    clean_log(guest)


@case
def link_up(setting: Setting) -> None:
    """Interfaces come up with the address that the card was given."""
    for guest, own in zip(setting.guests, GUESTS, strict=True):
        assert own.mac in guest.run("cat /sys/class/net/eth0/address").output
        guest.run(f"ip address add {own.ipv4}/24 dev eth0")
        guest.run(f"ip address add {own.shared}/24 dev eth0")
        guest.run(f"ip address add {own.ipv6}/64 dev eth0 nodad")
        guest.run("ip link set eth0 mtu 1500 up")
        guest.run("cat /sys/class/net/eth0/carrier | grep -q 1")


@case
def ping_ipv4(setting: Setting) -> None:
    """Ping through VXLAN, without loss."""
    setting.notes["ping_ipv4"] = ping(setting.guests[0], PEERS[0][1], 10)


@case
def ping_ipv6(setting: Setting) -> None:
    """The same over IPv6, with neighbour discovery through the tunnel."""
    setting.notes["ping_ipv6"] = ping(setting.guests[0], PEERS[0][2], 10)


@case
def ethtool(setting: Setting) -> None:
    """Driver, statistics, channels: all four queue pairs."""
    guest = setting.guests[0]
    assert "driver: virtio_net" in guest.run("ethtool -i eth0").output
    before = guest.run("ethtool -S eth0").output
    assert "tx0_kicks" in before, before
    features = guest.run("ethtool -k eth0").output
    assert "tx-checksumming: on" in features, features
    assert "rx-checksumming: on" in features, features
    pairs = setting.card.config.card.pairs
    guest.run("ethtool -L eth0 combined 1")
    ping(guest, PEERS[0][1])
    guest.run(f"ethtool -L eth0 combined {pairs}")
    ping(guest, PEERS[0][1])


@case
def iperf_tcp(setting: Setting) -> None:
    """TCP both ways, checksums on."""
    needs_stack(setting)
    guest, peer = setting.guests[0], PEERS[0][1]
    up, _ = iperf(guest, peer, "")
    down, _ = iperf(guest, peer, "-R")
    setting.notes["iperf_tcp"] = f"{up:.2f} Mb/s from the guest, {down:.2f} to it, wall clock"


@case
def iperf_udp(setting: Setting) -> None:
    """UDP both ways, at a rate that the simulated card carries."""
    needs_stack(setting)
    guest, peer = setting.guests[0], PEERS[0][1]
    up, lost_up = iperf(guest, peer, "-u -b 200k -l 1000")
    down, lost_down = iperf(guest, peer, "-u -b 200k -l 1000 -R")
    setting.notes["iperf_udp"] = f"{up:.2f}, {down:.2f} Mb/s; {lost_up:g}, {lost_down:g} % lost"
    assert lost_up < 5 and lost_down < 5, setting.notes["iperf_udp"]


@case
def queues(setting: Setting) -> None:
    """Parallel streams reach more than one queue pair."""
    needs_stack(setting)
    guest = setting.guests[0]
    iperf(guest, PEERS[0][1], "-P 8", seconds=10)
    counts = guest.run("grep virtio0 /proc/interrupts").output
    used = [line.split()[1] for line in counts.splitlines() if "put." in line]
    setting.notes["queues"] = f"interrupts by queue: {' '.join(used)}"


@case
def jumbo(setting: Setting) -> None:
    """MTU 9000: whole jumbo frames, and TCP with them."""
    guest = setting.guests[0]
    guest.run("ip link set eth0 mtu 9000")
    try:
        ping(guest, PEERS[0][1], 4, size=8972, extra="-M do")
        if setting.peer.full:
            rate, _ = iperf(guest, PEERS[0][1], "", seconds=10)
            setting.notes["jumbo"] = f"{rate:.2f} Mb/s"
    finally:
        guest.run("ip link set eth0 mtu 1500")


@case
def rings(setting: Setting) -> None:
    """Queues of other sizes under load: the driver resets one after the other (RING_RESET)."""
    guest = setting.guests[0]
    most = setting.card.config.card.queue_size
    for receive, transmit in ((most // 2, most // 4), (64, 64), (most, most)):
        with _under_load(guest):
            guest.run(f"ethtool -G eth0 rx {receive} tx {transmit}")
        seen = guest.run("ethtool -g eth0").output.split("Current")[1]
        sizes = dict(re.findall(r"^(RX|TX):\s+(\d+)", seen, re.MULTILINE))
        assert sizes == {"RX": str(receive), "TX": str(transmit)}, seen
    clean_log(guest)


@case
def down_up(setting: Setting) -> None:
    """Interface down and up under load."""
    guest = setting.guests[0]
    for _ in range(3):
        with _under_load(guest):
            guest.run("ip link set eth0 down; sleep 0.3; ip link set eth0 up")
    clean_log(guest)


@case
def unbind_bind(setting: Setting) -> None:
    """The driver lets go of the device under load and takes it again."""
    guest = setting.guests[0]
    driver = "/sys/bus/virtio/drivers/virtio_net"
    for _ in range(3):
        with _under_load(guest):
            guest.run(f"echo virtio0 > {driver}/unbind; sleep 0.2; echo virtio0 > {driver}/bind")
    clean_log(guest)


@case
def pci_unbind_bind(setting: Setting) -> None:
    """The same one layer down: the PCI driver, so that vectors and BARs are set up anew."""
    guest = setting.guests[0]
    driver = "/sys/bus/pci/drivers/virtio-pci"
    with _under_load(guest):
        guest.run(f"echo 0000:01:00.0 > {driver}/unbind; echo 0000:01:00.0 > {driver}/bind")
    clean_log(guest)


@case
def function_level_reset(setting: Setting) -> None:
    """FLR under load. The driver does not hear of it, so it is bound anew afterwards."""
    guest = setting.guests[0]
    driver = "/sys/bus/virtio/drivers/virtio_net"
    device = "/sys/bus/pci/devices/0000:01:00.0"
    for _ in range(2):
        with _under_load(guest):
            guest.run(f"echo flr > {device}/reset_method; echo 1 > {device}/reset")
            guest.run(f"echo virtio0 > {driver}/unbind; echo virtio0 > {driver}/bind")
    # The other guest has not noticed.
    ping(setting.guests[1], PEERS[1][1])


@case
def isolation(setting: Setting) -> None:
    """Two guests in networks of their own, at once: neither hears the other."""
    first, second = setting.guests
    begun = first.begin(f"ping -n -i 0.2 -W 5 -c 10 {PEERS[0][1]}")
    ping(second, PEERS[1][1], 10)
    assert " 10 received" in first.finish(begun).output
    for guest, other in ((first, GUESTS[1]), (second, GUESTS[0])):
        guest.run("ip neighbour flush dev eth0")
        result = guest.run(f"ping -n -c 2 -W 2 {other.shared}", check=False)
        assert " 0 received" in result.output, result.output


@case
def shares(setting: Setting) -> None:
    """Both guests send TCP as fast as they can: neither takes more than its share."""
    needs_stack(setting)
    first, second = setting.guests
    rates = {}
    command = "timeout 90 iperf3 -J -c {} -t 15 --connect-timeout 20000 -l 8K"
    guests = (first, second)
    begun = [g.begin(command.format(peer[1])) for g, peer in zip(guests, PEERS, strict=True)]
    for guest, line in zip(guests, begun, strict=True):
        report = json.loads(guest.finish(line, timeout=100, check=False).output)
        assert "sum_received" in report["end"], f"{guest.name}: {report.get('error')}"
        rates[guest.name] = report["end"]["sum_received"]["bits_per_second"] / 1e6
    low, high = sorted(rates.values())
    setting.notes["shares"] = ", ".join(f"{n}: {rate:.2f} Mb/s" for n, rate in rates.items())
    assert low > high / 3, setting.notes["shares"]


@case
def local_delivery(setting: Setting) -> None:
    """On one network the guests reach each other on the card, and nothing of it goes outside."""
    first, second = setting.guests
    setting.networks(NETWORKS[0], NETWORKS[0])
    try:
        for guest in (first, second):
            guest.run("ip neighbour flush dev eth0")
        ping(first, GUESTS[1].shared)
        sent = setting.card.control.status()["ports"][0]["out"]
        ping(second, GUESTS[0].shared)
        second.run("iperf3 -s -D -1; sleep 1")
        rate, _ = iperf(first, GUESTS[1].shared, "", seconds=10)
        setting.notes["local_delivery"] = f"{rate:.2f} Mb/s"
        # Broadcasts and neighbour discovery may leave; a stream of data may not.
        left = setting.card.control.status()["ports"][0]["out"] - sent
        assert left < 40, f"{left} frames left the card"
    finally:
        setting.networks(*NETWORKS)


@case
def quiet(setting: Setting) -> None:
    """Nothing went wrong on the link, and a card with nothing to do costs next to nothing."""
    for guest in setting.guests:
        clean_log(guest)
        guest.run("ip link set eth0 down")
    status = setting.card.control.status()
    for name in ("violations", "timeouts"):
        assert not status[name], f"{name}: {status}"
    assert not any(port["bad"] for port in status["ports"]), status
    time.sleep(2)
    before = setting.card.processor_seconds()
    time.sleep(5)
    spent = setting.card.processor_seconds() - before
    cycles, seconds = status["cycles"], status["seconds"]
    setting.notes["quiet"] = (
        f"{cycles:,} cycles, {cycles / seconds / 1000:.0f}k a second while busy; "
        f"{spent / 5:.1%} of a core at rest"
    )
    assert spent < 0.5, setting.notes["quiet"]


@contextmanager
def _under_load(guest: Guest) -> Iterator[None]:
    """The first guest sends and receives as much as a slow simulation carries; afterwards its
    interface has its addresses again, and must reach the peer."""
    guest.run(f"ping -q -i 0.02 -s 1400 {PEERS[0][1]} >/dev/null 2>&1 &")
    try:
        yield
    finally:
        guest.run("killall ping; true")
    own = GUESTS[0]
    guest.run(f"ip address replace {own.ipv4}/24 dev eth0")
    guest.run(f"ip address replace {own.shared}/24 dev eth0")
    guest.run(f"ip address replace {own.ipv6}/64 dev eth0 nodad")
    guest.run("ip link set eth0 mtu 1500 up")
    ping(guest, PEERS[0][1])
