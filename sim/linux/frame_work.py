"""What a guest's processor has to do for its frames: with the card, and with VXLAN of its own.

The same guest twice, against the same peer: with a function of the card, where it sees plain
frames, and with QEMU's virtio-net-pci, where a vxlan netdev in the guest makes the tunnel. A plugin
of QEMU's counts the guest's instructions while so many frames, and then three times as many, go
through, after a few that do not count; the difference has neither what a connection costs nor what
a command does. What the resting guest does in the same time is subtracted. Needs root, as the peer
is Linux' own vxlan.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.table import Table

from sim.live.card import RunningCard
from sim.live.config import load
from sim.live.model import build_card

from .counting import Count, Counter, compared, compile_program, plain_guest
from .guest import Guest, Machine
from .image import NETWORK, kernel, make_image
from .namespace import Namespace
from .packages import Root, fetch
from .qemu import find_qemu
from .setting import CARD, GUESTS, NETWORKS, PEER_ADDRESS, PEERS, live_config
from .verdicts import console

_HERE = Path(__file__).parent
_PORT = 5000
_IN_GUEST = "/usr/bin/traffic"
#: Slow enough for the simulated card on a busy machine: each frame finds all at rest.
_GAP_US = 40_000
_FRAMES = 150
#: Of the frames; the Ethernet, IPv4 and UDP headers take 42 of each.
_SIZES = (64, 512, 1448)
_HEADERS = 42
_SEGMENT = 1448


def traffic(folder: Path) -> Path:
    """The program that sends and receives; without libraries, for the guest and the peer."""
    program = folder / "traffic"
    compile_program(_HERE / "traffic.c", program, "-static")
    return program


@contextmanager
def _with_card(machine: Machine, folder: Path, programs: Root) -> Iterator[tuple]:
    """A guest whose network card is ours."""
    base = load(_HERE.parent / "live" / "example.toml")
    program = build_card(base.card, Path("build/live/models"))
    with ExitStack() as stack:
        peer = _peer(stack, folder, programs)
        config = live_config(base, peer.wire, seed=1)
        card = stack.enter_context(RunningCard(program, config, folder, prefix=peer.prefix))
        _start(peer)
        counter = Counter(folder, "card")
        guest = Guest(
            machine, "card", folder, function=card.sockets[0], arguments=counter.arguments
        )
        stack.enter_context(guest).wait()
        guest.run("ip link set eth0 mtu 1500 up")
        guest.run(f"ip address add {GUESTS[0].ipv4}/24 dev eth0")
        yield guest, counter, peer, "eth0"


@contextmanager
def _with_own(machine: Machine, folder: Path, programs: Root) -> Iterator[tuple]:
    """A guest that makes its tunnel itself, over QEMU's virtio-net-pci."""
    with ExitStack() as stack:
        peer = _peer(stack, folder, programs)
        counter = Counter(folder, "own")
        guest = plain_guest(machine, "own", folder, counter, peer, CARD.mac)
        stack.enter_context(guest).wait()
        _start(peer)
        guest.run(f"ip address add {CARD.ipv4}/24 dev eth0")
        guest.run("ip link set eth0 mtu 1600 up")
        ends = f"local {CARD.ipv4} remote {PEER_ADDRESS} dstport 4789"
        guest.run(f"ip link add vxlan0 type vxlan id {NETWORKS[0]} {ends}")
        guest.run(f"ip link set vxlan0 address {GUESTS[0].mac} mtu 1500 up")
        guest.run(f"ip address add {GUESTS[0].ipv4}/24 dev vxlan0")
        yield guest, counter, peer, "vxlan0"


def _peer(stack: ExitStack, folder: Path, programs: Root) -> Namespace:
    peer = Namespace(PEER_ADDRESS, CARD.ipv4, programs, folder)
    stack.callback(peer.stop)
    return peer


def _start(peer: Namespace) -> None:
    mac, ipv4, _ = PEERS[0]
    peer.start({NETWORKS[0]: (mac, (f"{ipv4}/24",))})


def measure(
    guest: Guest, counter: Counter, peer: Namespace, device: str, program: Path
) -> dict[str, Count]:
    """Instructions for each frame, by what was sent; ``device`` is where the guest sends it."""
    own, other = GUESTS[0].ipv4, PEERS[0][1]
    # Nobody asks for addresses while it is counted.
    guest.run(f"ping -n -c 2 -W 20 {other}")
    guest.run(f"ip neighbour replace {other} lladdr {PEERS[0][0]} dev {device} nud permanent")
    peer.run(
        *("ip", "neighbour", "replace", own, "lladdr", GUESTS[0].mac),
        *("dev", f"vxlan{NETWORKS[0]}", "nud", "permanent"),
    )
    rest = counter.idle()
    found = {"at rest, a second": rest}

    def note(name: str, work: Callable[[int], None]) -> None:
        found[name] = counter.each(work, _FRAMES, rest)
        console.print(f"{guest.name}: {name}: {found[name]}", highlight=False)

    def to_peer(guest_command: str, peer_command: str, amount: int) -> None:
        command = [*peer.prefix, str(program), *peer_command.split()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
            time.sleep(1)
            guest.run(f"{_IN_GUEST} {guest_command}")
            check(int(receiver.communicate()[0]), amount)

    def to_guest(guest_command: str, peer_command: str, amount: int) -> None:
        begun = guest.begin(f"{_IN_GUEST} {guest_command}")
        time.sleep(1)
        peer.run(str(program), *peer_command.split())
        check(int(guest.finish(begun).output), amount)

    def check(seen: int, amount: int) -> None:
        if seen != amount:
            raise RuntimeError(f"{guest.name}: {seen} of {amount} have come")

    def pause(count: int) -> None:
        guest.run(f"{_IN_GUEST} rest {count} {_GAP_US}")

    note("nothing sent: a sleep", pause)
    for size in _SIZES:
        how = f"{_PORT} {size - _HEADERS}"

        def send(count: int, how: str = how) -> None:
            to_peer(f"send {other} {how} {count} {_GAP_US}", f"receive {_PORT} {count}", count)

        def receive(count: int, how: str = how) -> None:
            to_guest(f"receive {_PORT} {count}", f"send {own} {how} {count} {_GAP_US}", count)

        note(f"UDP sent, frames of {size} bytes", send)
        note(f"UDP received, frames of {size} bytes", receive)

    def give(count: int) -> None:
        amount = count * _SEGMENT
        to_peer(f"give {other} {_PORT} {amount}", f"take {_PORT}", amount)

    def take(count: int) -> None:
        amount = count * _SEGMENT
        to_guest(f"take {_PORT}", f"give {own} {_PORT} {amount}", amount)

    note(f"TCP sent, {_SEGMENT} bytes of the stream", give)
    note(f"TCP received, {_SEGMENT} bytes of the stream", take)
    return found


def count_frames(folder: Path) -> Table:
    """Count, and make a table for docs/linux.md; keeps consoles and counts in ``folder``."""
    programs = fetch(folder.parent, "guest", NETWORK.packages)
    program = traffic(folder)
    image = make_image(programs, NETWORK, folder / "initrd", {"usr/bin/traffic": program})
    machine = Machine(find_qemu(folder.parent), kernel(programs), image)
    results = []
    for make in (_with_own, _with_card):
        with make(machine, folder, programs) as parts:
            results.append(measure(*parts, program))
    title = "Instructions of the guest for each frame: kernel's, and others"
    return compared(title, "VXLAN in the guest", *results)
