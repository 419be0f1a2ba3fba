"""``niterctl port`` and ``niterctl route``: what a network card is told."""

from typing import Any

import click

from .card import Card, Tunnel
from .cli_base import IP, MAC, VNI, Options, rows_table
from .protocol import Role

__all__ = ["port_group", "route_group"]


@click.group(name="port")
def port_group() -> None:
    """Functions of the card: what they own, and their network."""


@port_group.command(name="list")
@click.pass_obj
def port_list(options: Options) -> None:
    """Show the functions that are provisioned."""
    with options.session(Role.OBSERVER) as session:
        data = Card(session).ports()
    columns = ("function", "mac", "vni", "addresses")
    options.show(
        data,
        lambda: rows_table(
            columns, [(*list(p.values())[:3], " ".join(p["addresses"])) for p in data]
        ),
    )


@port_group.command(name="add")
@click.argument("function", type=int)
@click.option("--mac", type=MAC, required=True, help="Its MAC address.")
@click.option("--vni", type=VNI, required=True, help="Its network.")
@click.option("--ip", "addresses", type=IP, multiple=True, help="An address that it owns.")
@click.option("--rate", default=0, help="Limit in Mb/s; 0 is none.")
@click.pass_obj
def port_add(options: Options, function: int, mac: str, vni: int, addresses, rate: int) -> None:
    """Provision FUNCTION."""
    with options.session(Role.OPERATOR) as session:
        Card(session).add_port(function, mac, vni, addresses, rate)
    options.done(f"Function {function} is open.")


@port_group.command(name="remove")
@click.argument("function", type=int)
@click.pass_obj
def port_remove(options: Options, function: int) -> None:
    """Close FUNCTION."""
    with options.session(Role.OPERATOR) as session:
        Card(session).remove_port(function)
    options.done(f"Function {function} is closed.")


@click.group(name="route")
def route_group() -> None:
    """Stations of the networks, and the tunnels that lead to them."""


@route_group.command(name="list")
@click.pass_obj
def route_list(options: Options) -> None:
    """Show all stations."""
    with options.session(Role.OBSERVER) as session:
        card = Card(session)
        routes, tunnels = card.routes(), card.tunnels()
    data = [
        {
            "vni": route.vni,
            "mac": route.mac,
            "addresses": [str(address) for address in route.addresses],
            "tunnel": None if route.tunnel is None else _tunnel(tunnels[route.tunnel]),
        }
        for route in routes
    ]
    rows = [
        (
            d["vni"],
            d["mac"],
            " ".join(d["addresses"]),
            "local" if d["tunnel"] is None else d["tunnel"]["remote"],
        )
        for d in data
    ]
    options.show(data, lambda: rows_table(("vni", "mac", "addresses", "via"), rows))


def _tunnel(tunnel: Tunnel) -> dict[str, Any]:
    return {
        "remote": str(tunnel.remote),
        "next_hop": tunnel.next_hop,
        "port": tunnel.port,
        "geneve": tunnel.geneve,
        "checksum": tunnel.checksum,
    }


@route_group.command(name="add")
@click.option("--vni", type=VNI, required=True, help="The station's network.")
@click.option("--mac", type=MAC, required=True, help="Its MAC address.")
@click.option("--ip", "addresses", type=IP, multiple=True, help="An address that it has.")
@click.option("--via", type=IP, required=True, help="The tunnel endpoint that it is behind.")
@click.option("--next-hop", type=MAC, required=True, help="MAC address that leads there.")
@click.option("--wire", default=0, show_default=True, help="Port that the tunnel leaves by.")
@click.option("--geneve", is_flag=True, help="GENEVE instead of VXLAN.")
@click.option("--checksum", is_flag=True, help="Fill in the outer UDP checksum.")
@click.pass_obj
def route_add(options: Options, vni, mac, addresses, via, next_hop, wire, geneve, checksum) -> None:
    """Send a station's frames through a tunnel."""
    tunnel = Tunnel(via, next_hop, wire, geneve, checksum)
    with options.session(Role.OPERATOR) as session:
        Card(session).add_route(vni, mac, tunnel, addresses)
    options.done(f"{mac} in network {vni} is behind {via}.")


@route_group.command(name="remove")
@click.option("--vni", type=VNI, required=True, help="The station's network.")
@click.option("--mac", type=MAC, required=True, help="Its MAC address.")
@click.pass_obj
def route_remove(options: Options, vni: int, mac: str) -> None:
    """Forget a station."""
    with options.session(Role.OPERATOR) as session:
        Card(session).remove_route(vni, mac)
    options.done(f"{mac} in network {vni} is forgotten.")
