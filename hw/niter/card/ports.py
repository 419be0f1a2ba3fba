"""Which host memory ports of a card's engines are which of the PCIe room's."""

from collections.abc import Mapping

__all__ = ["Requester", "host_ports"]

#: An engine, and the number of one of its ports.
Requester = tuple[str, int]

#: An engine's ports of number 0 go to rings, those of number 1 to payload, and the others to what
#: is rare. The mailbox's come before the last: not all engines have those to write with.
_ALONE: tuple[tuple[Requester, ...], ...] = (
    (("net", 0), ("storage", 0)),
    (("net", 1), ("storage", 1)),
    (("mailbox", 0),),
    (("net", 2), ("storage", 2)),
    (("net", 3), ("storage", 3)),
)
#: Payload of either half has a port of its own, so that neither waits for the other's.
_TOGETHER: tuple[tuple[Requester, ...], ...] = (
    (("net", 0), ("storage", 0), ("mailbox", 0)),
    (("net", 1),),
    (("storage", 1),),
    (("net", 2), ("net", 3), ("storage", 2), ("storage", 3)),
)

Ports = list[tuple[Requester, ...]]


def host_ports(reads: Mapping[str, int], writes: Mapping[str, int]) -> tuple[Ports, Ports]:
    """For each read port of the PCIe room, and for each write port, who uses it.

    Read port *n* and write port *n* of an engine are on ports of the same number, so that its
    reads stay behind its writes. Rings and payload never share a port.

    Parameters
    ----------
    reads, writes
        How many ports each of ``net``, ``storage`` and ``mailbox`` has, where it is there.
    """
    table = _TOGETHER if {"net", "storage"} <= reads.keys() else _ALONE
    users = [[(engine, port) for engine, port in row if engine in reads] for row in table]
    found = []
    for has in (reads, writes):
        rows = (tuple(each for each in row if each[1] < has[each[0]]) for row in users)
        found.append([row for row in rows if row])
    return found[0], found[1]
