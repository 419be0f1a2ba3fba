"""Headers for the firmware, made from what is declared elsewhere.

``protocol.h`` comes from ``niterctl.protocol``, ``card_layout.h`` from the card's tables,
``card_registers.h`` from the register classes, ``nvme_layout.h`` from the NVMe room,
``nvme_messages.h`` from ``niter.nvme.front.messages``, ``certificate_template.h`` from
``niterctl.certificates``, ``boot_layout.h`` from ``firmware.boot.layout``. The same inputs give the
same text.
"""

from enum import IntEnum
from pathlib import Path

from amaranth.lib import data
from amaranth.utils import ceil_log2

from firmware.boot.layout import Memory
from niter.card import Card, CardConfig
from niter.csr.generate import c_header
from niter.interface import SECTOR_BYTES
from niter.net import (
    LOCAL,
    MAPPING_HASH,
    UNDERLAY_NETWORK,
    UNDERLAY_VNI,
    Descriptor,
    EndpointWords,
    KeyKind,
    OverlayConfig,
    Peers,
    PortRecord,
    SlotLayout,
    Steer,
    TunnelLayout,
)
from niter.net.drop import counter_names
from niter.nvme.config import NvmeConfig
from niter.nvme.engine import NamespaceRecord
from niter.nvme.engine.layouts import MAX_SECTORS, PAGE_BITS
from niter.nvme.front import messages
from niter.soc import SocConfig
from niter.storage import RateRecord, VolumeKey, VolumeMode, VolumeRecord
from niter.storage.aoe import FRAME_SECTORS, HAS_TARGET, HEADER_BYTES, SLOT_BITS, TargetRecord
from niter.virtio.net.filter import HASH_BITS, HASHES_FROM, Modes
from niter.virtio.net.messages import CommandKind
from niterctl import protocol
from niterctl.certificates import template_header
from niterctl.policy import POLICY_BYTES

__all__ = [
    "layout_header",
    "messages_header",
    "number_array",
    "nvme_header",
    "protocol_header",
    "signer_header",
    "write_changed",
    "write_headers",
]


def _guard(name: str, source: str, lines: list[str]) -> str:
    head = [f"/* Generated from {source}. */", f"#ifndef {name}_H", f"#define {name}_H", ""]
    return "\n".join([*head, *lines, "", f"#endif /* {name}_H */", ""])


def _defines(numbers: dict[str, int], prefix: str = "") -> list[str]:
    return [f"#define {prefix}{key} {value}u" for key, value in numbers.items()]


def protocol_header() -> str:
    """The numbers of the management protocol, as enumerations."""
    numbers = {
        "MANAGEMENT_PORT": protocol.PORT,
        "DATAGRAM_LONGEST": protocol.DATAGRAM,
        "ANSWER_LONGEST": protocol.ANSWER,
        "PROBE_PADDING": protocol.PROBE_PADDING,
        "PIECE_LONGEST": protocol.PIECE,
        "COUNTERS_AT_ONCE": protocol.COUNTERS,
        "POLICY_LONGEST": POLICY_BYTES,
    }
    lines = _defines(numbers)
    # What the loader says, too.
    names = {
        protocol.Slot: ("boot_slot", "BOOT_SLOT"),
        protocol.Verdict: ("boot_verdict", "BOOT"),
    }
    for kind in (
        protocol.Role,
        protocol.Command,
        protocol.Status,
        protocol.Event,
        protocol.Health,
        protocol.Slot,
        protocol.Verdict,
    ):
        assert issubclass(kind, IntEnum)
        name, prefix = names.get(kind, (kind.__name__.lower(), kind.__name__.upper()))
        members = ", ".join(f"{prefix}_{member.name} = {member.value}" for member in kind)
        lines += ["", f"enum {name} {{ {members} }};"]
    return _guard("PROTOCOL", "niterctl.protocol", lines)


def number_array(name: str, content: bytes) -> str:
    """Bytes as a constant."""
    return f"static const uint8_t {name}[{len(content)}] = {{{', '.join(map(str, content))}}};"


def signer_header(key: bytes) -> str:
    """The public key whose images are started."""
    return _guard("SIGNER", "a key", ["#include <stdint.h>", "", number_array("SIGNER_KEY", key)])


def layout_header(config: CardConfig) -> str:
    """Sizes of this card, and where things stand in its tables."""
    parts = [
        {
            "NETWORK": int(config.overlay is not None),
            "STORAGE": int(config.storage is not None),
            "SERVICES": int(config.served),
            "FUNCTIONS": config.functions,
            "NETWORK_FUNCTIONS": config.network_functions,
            "PORTS": config.ports,
            "FRAME_BYTES": config.frame_bytes,
        },
        {f"ENGINE_{name.upper()}": port for port, name in enumerate(config.asking)},
    ]
    if config.overlay:
        parts += [_overlay_numbers(config.overlay), _control_numbers()]
    if config.storage:
        parts.append(_storage_numbers(config))
    numbers = {name: number for part in parts for name, number in part.items()}
    assert len(numbers) == sum(map(len, parts)), "two halves have a name for two numbers"
    return _guard("CARD_LAYOUT", "niter.card", _defines(numbers, "LAYOUT_"))


def _overlay_numbers(overlay: OverlayConfig) -> dict[str, int]:
    record, tunnels = PortRecord(overlay), TunnelLayout(overlay)
    crc = MAPPING_HASH.algorithm
    assert (crc.crc_width, crc.reflect_input, crc.reflect_output) == (16, False, False)
    partial, template, port, ipv6, checksum = (field.offset for _, field in Descriptor.as_shape())
    return {
        "IPV6": int(overlay.ipv6),
        "GENEVE": int(overlay.geneve),
        "MAPPING_SLOTS": overlay.slots,
        "TUNNELS": overlay.tunnels,
        "PEERS": overlay.peers,
        "PEER_WAYS": Peers.WAYS,
        "TEMPLATES": overlay.templates,
        "ADDRESSES": overlay.addresses,
        "REPLICAS": overlay.replicas,
        "LOCAL": LOCAL,
        "UNDERLAY_VNI": UNDERLAY_VNI,
        "UNDERLAY_NETWORK": UNDERLAY_NETWORK,
        "SLOT_WORDS": SlotLayout(ipv6=overlay.ipv6).words,
        "KEY": SlotLayout.MAC.start,
        "IPV6_LOW_END": SlotLayout.IPV6_LOW.stop,
        "NEIGHBOUR": SlotLayout.NEIGHBOUR.start,
        "DESTINATION": SlotLayout.DESTINATION.start,
        "KIND_MAC": KeyKind.MAC.value,
        "KIND_IPV4": KeyKind.IPV4.value,
        "KIND_IPV6": KeyKind.IPV6.value,
        "HASH_POLYNOMIAL": crc.polynomial,
        "HASH_INITIAL": crc.initial_crc,
        "HASH_FINAL": crc.xor_output,
        "RECORD_WORDS": record.size,
        "RECORD_IPV4": PortRecord.IPV4,
        "RECORD_IPV6": PortRecord.IPV6,
        "RECORD_OPEN": PortRecord.OPEN,
        "RECORD_MAC_LOW": PortRecord.MAC_LOW,
        "RECORD_MAC_HIGH": PortRecord.MAC_HIGH,
        "RECORD_VNI": PortRecord.VNI,
        "RECORD_NETWORK": PortRecord.NETWORK,
        "STEER_WORDS": Steer.STRIDE,
        "ENDPOINT_MAC": int(EndpointWords.MAC),
        "ENDPOINT_IPV4": int(EndpointWords.IPV4),
        "ENDPOINT_IPV6": int(EndpointWords.IPV6),
        "TEMPLATE_WORDS": TunnelLayout.TEMPLATE,
        "TUNNEL_ROWS": tunnels.depth,
        "TUNNEL_BASE": tunnels.tunnels,
        "TUNNEL_WORDS": tunnels.record,
        "TUNNEL_DESCRIPTOR": tunnels.descriptor,
        "DESCRIPTOR_PARTIAL": partial,
        "DESCRIPTOR_TEMPLATE": template,
        "DESCRIPTOR_PORT": port,
        "DESCRIPTOR_IPV6": ipv6,
        "DESCRIPTOR_CHECKSUM": checksum,
        "COUNTERS": len(counter_names(overlay.functions)),
    }


def _control_numbers() -> dict[str, int]:
    modes = {f"MODE_{name.upper()}": 1 << field.offset for name, field in data.Layout.cast(Modes)}
    kinds = {f"COMMAND_{kind.name}": kind.value for kind in CommandKind}
    return {"HASHES": HASHES_FROM, "HASH_BITS": HASH_BITS, **modes, **kinds}


def _storage_numbers(config: CardConfig) -> dict[str, int]:
    # A frame's buffer decides how many of the sectors that the transport can put into one fit.
    sectors = min(FRAME_SECTORS, (config.frame_bytes - HEADER_BYTES) // SECTOR_BYTES)
    return {
        "CLOCK_HZ": config.storage.clock_hz,
        "FRAME_SECTORS": sectors,
        "VOLUME_TUNNEL": int(config.storage.tunnel),
        "AOE_SLOTS": 1 << SLOT_BITS,
        "VOLUMES": config.storage.volumes,
        "VOLUME_STRIDE": VolumeRecord.STRIDE,
        "VOLUME_FIRST": VolumeRecord.FIRST,
        "VOLUME_LENGTH": VolumeRecord.LENGTH,
        "VOLUME_FLAGS": VolumeRecord.FLAGS,
        "VOLUME_ATTACHED": VolumeRecord.ATTACHED,
        "VOLUME_READ_ONLY": VolumeRecord.READ_ONLY,
        "VOLUME_PLAIN": VolumeMode.PLAIN.value << VolumeRecord.KEY,
        "VOLUME_ENCRYPTED": VolumeMode.ENCRYPTED.value << VolumeRecord.KEY,
        "VOLUME_KEY_SLOT": VolumeRecord.KEY + VolumeKey.as_shape()["slot"].offset,
        "ENCRYPTION": int(config.storage.encryption),
        "RATE_STRIDE": RateRecord.STRIDE,
        "RATE_REQUEST": RateRecord.REQUEST,
        "RATE_SECTOR": RateRecord.SECTOR,
        "RATE_BURST": RateRecord.BURST,
        "HAS_TARGET": HAS_TARGET,
        "TARGET_STRIDE": TargetRecord.STRIDE,
        "TARGET_MAC_HIGH": TargetRecord.MAC_HIGH,
        "TARGET_MAC_LOW": TargetRecord.MAC_LOW,
        "TARGET_PLACE": TargetRecord.PLACE,
        "TARGET_FLAGS": TargetRecord.FLAGS,
        "TARGET_ENABLED": TargetRecord.ENABLED,
    }


def messages_header() -> str:
    """What the NVMe front and the admin firmware say to each other."""
    lines = []
    for kind in (messages.RequestKind, messages.ReplyKind):
        prefix = kind.__name__.removesuffix("Kind").upper()
        members = ", ".join(f"NVME_{prefix}_{member.name} = {member.value}" for member in kind)
        lines += [f"enum nvme_{prefix.lower()}_kind {{ {members} }};", ""]
    lines += [f"#define NVME_NO_INTERRUPT {messages.NO_INTERRUPT}u", ""]
    lines += [
        f"#define NVME_EVENT_{name.upper()} {1 << field.offset}u"
        for name, field in data.Layout.cast(messages.Events)
        if field.width == 1
    ]
    lines += ["", "struct nvme_reply {"]
    for name, field in data.Layout.cast(messages.Reply):
        assert field.offset % field.width == 0, "the compiler would put a gap here"
        lines.append(f"    uint{field.width}_t {name.lstrip('_')};")
    text = _guard("NVME_MESSAGES", "niter.nvme.front.messages", [*lines, "};"])
    return text.replace("_H\n\n", "_H\n\n#include <stdint.h>\n\n", 1)


def nvme_header(config: NvmeConfig, *, volumes: int, first: int = 0) -> str:
    """Limits of the NVMe controllers, and where things stand in their namespace table.

    Parameters
    ----------
    config
        Of the controllers.
    volumes
        That the card can have attached.
    first
        The mailbox's number of the first controller's function.
    """
    record = NamespaceRecord
    numbers = {
        "CONTROLLERS": config.functions,
        "FIRST_FUNCTION": first,
        "VENDOR": config.vendor,
        "SUBSYSTEM_VENDOR": config.subsystem_vendor,
        "QUEUES": config.queues,
        "ENTRIES": config.entries,
        "VECTORS": config.vectors,
        "NAMESPACES": config.namespaces,
        "VOLUMES": volumes,
        "TRANSFER_PAGES": ceil_log2(MAX_SECTORS * SECTOR_BYTES >> PAGE_BITS),
        "RECORDS": 1 << ceil_log2(config.namespaces),
        "RECORD_WORDS": record.STRIDE,
        "RECORD_FLAGS": record.FLAGS,
        "RECORD_BLOCKS": record.BLOCKS,
        "RECORD_ACTIVE": record.ACTIVE,
        "RECORD_READ_ONLY": record.READ_ONLY,
        "RECORD_LARGE": record.LARGE,
        "RECORD_VOLUME_SHIFT": record.VOLUME_SHIFT,
    }
    return _guard("NVME_LAYOUT", "niter.nvme", _defines(numbers, "NVME_"))


def write_headers(folder: Path, config: CardConfig) -> None:
    """Write all headers for a card into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    nvme = None
    if config.storage and config.storage.nvme:
        numbers = {"volumes": config.storage.volumes, "first": config.asking["storage"]}
        nvme = nvme_header(config.storage.nvme, **numbers)
    texts = {
        "protocol.h": protocol_header(),
        "card_layout.h": layout_header(config),
        "certificate_template.h": template_header(),
        "nvme_messages.h": messages_header(),
        "card_registers.h": c_header(Card(config).csr.memory_map, name="card"),
        **({"nvme_layout.h": nvme} if nvme else {}),
        "boot_layout.h": Memory((config.soc or SocConfig()).ram_bytes).header(),
    }
    for name, text in texts.items():
        place = folder / name
        write_changed(place, text)


def write_changed(place: Path, text: str) -> None:
    """Write a file, unless that is what it holds."""
    if not place.exists() or place.read_text(encoding="ascii") != text:
        place.write_text(text, encoding="ascii")
