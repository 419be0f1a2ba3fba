"""Documents made from a memory map: C header, SVD, register pages.

All three walk the same map, show byte addresses, and are the same text for the same map.
"""

import textwrap
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

from amaranth.lib import enum

from .action import Reserved
from .bus import DATA_WIDTH
from .counter import CounterArray
from .memory import MemoryMap, ResourceInfo
from .reg import FieldInfo, Register
from .words import WordArray

__all__ = ["c_header", "register_page", "svd"]

_WORD_BYTES = DATA_WIDTH // 8


class _Word(NamedTuple):
    """A word that software can address, whatever resource it belongs to."""

    name: str
    address: int
    access: str
    init: int
    doc: str
    fields: list[FieldInfo]


def _words(info: ResourceInfo) -> Iterator[_Word]:
    """The addressable words of one resource."""
    name = "_".join(info.path)
    resource = info.resource
    if isinstance(resource, Register):
        fields = [f for f in resource.fields if not isinstance(f.action, Reserved)]
        yield _Word(
            name, info.start * _WORD_BYTES, resource.access, resource.init, resource.doc, fields
        )
    elif isinstance(resource, CounterArray):
        for index, counter in enumerate(resource.names):
            for half, text in enumerate(("low half, read first", "high half")):
                yield _Word(
                    f"{name}_{counter}_{('low', 'high')[half]}",
                    (info.start + 2 * index + half) * _WORD_BYTES,
                    "r",
                    0,
                    f"Counter {counter}, {text}.",
                    [],
                )
    elif isinstance(resource, WordArray):
        doc = f"First of {resource.count} words. {resource.doc}"
        yield _Word(name, info.start * _WORD_BYTES, resource.access, 0, doc, [])
    else:
        raise TypeError(f"Resource {name!r} is of no kind that can be described: {resource!r}")


def _enumerators(field: FieldInfo) -> list[tuple[str, int]]:
    """Names and values of a field whose shape is an enumeration."""
    shape = field.action.shape
    if isinstance(shape, type) and issubclass(shape, enum.Enum):
        return [(member.name, int(member.value)) for member in shape]
    return []


def _summary(doc: str) -> str:
    """First paragraph of a docstring, on one line."""
    return " ".join(doc.split("\n\n")[0].split())


def c_header(memory_map: MemoryMap, *, name: str) -> str:
    """C header with the address of each register and shift and mask of each field.

    Addresses are byte offsets from the base of the map. ``name`` becomes the include guard
    and the prefix of all macros.
    """
    prefix = name.upper()
    lines = [
        "/* Generated from the gateware's register classes. */",
        f"#ifndef {prefix}_REGISTERS_H",
        f"#define {prefix}_REGISTERS_H",
        "",
        f"#define {prefix}_SIZE 0x{_WORD_BYTES << memory_map.addr_width:x}u",
    ]
    for info in memory_map.all_resources():
        for word in _words(info):
            macro = f"{prefix}_{word.name.upper()}"
            summary = _summary(word.doc).replace("*/", "* /")
            lines += ["", f"/* {summary} */"] if summary else [""]
            lines.append(f"#define {macro} 0x{word.address:x}u")
            for field in word.fields:
                macro_field = f"{macro}_{field.name.upper()}"
                mask = ((1 << field.width) - 1) << field.offset
                lines.append(f"#define {macro_field}_SHIFT {field.offset}u")
                lines.append(f"#define {macro_field}_MASK 0x{mask:x}u")
                for key, value in _enumerators(field):
                    lines.append(f"#define {macro_field}_{key} 0x{value:x}u")
    return "\n".join([*lines, "", f"#endif /* {prefix}_REGISTERS_H */", ""])


_SVD_ACCESS = {"r": "read-only", "w": "write-only", "rw": "read-write"}


def svd(memory_map: MemoryMap, *, name: str, base: int = 0) -> str:
    """CMSIS-SVD description: one peripheral for each window of the map, and one for the rest.

    ``base`` is the byte address at which the map stands.
    """
    device = ElementTree.Element(
        "device",
        {
            "schemaVersion": "1.3",
            "xmlns:xs": "http://www.w3.org/2001/XMLSchema-instance",
            "xs:noNamespaceSchemaLocation": "CMSIS-SVD.xsd",
        },
    )

    def put(parent, **texts):
        for tag, text in texts.items():
            ElementTree.SubElement(parent, tag).text = str(text)

    put(device, name=name, version="1.0", description=f"Registers of {name}")
    put(device, addressUnitBits=8, width=DATA_WIDTH, size=DATA_WIDTH)
    put(device, resetValue="0x0", resetMask="0xffffffff")
    peripherals = ElementTree.SubElement(device, "peripherals")

    groups = [(name, 0, memory_map.addr_width, list(memory_map.resources()))]
    for window, key, start, _ in memory_map.windows():
        groups.append((key, start, window.addr_width, list(window.all_resources())))
    for key, start, width, resources in groups:
        if not resources:
            continue
        peripheral = ElementTree.SubElement(peripherals, "peripheral")
        put(peripheral, name=key, baseAddress=hex(base + start * _WORD_BYTES))
        block = ElementTree.SubElement(peripheral, "addressBlock")
        put(block, offset="0x0", size=hex(_WORD_BYTES << width), usage="registers")
        registers = ElementTree.SubElement(peripheral, "registers")
        for word in (word for info in resources for word in _words(info)):
            register = ElementTree.SubElement(registers, "register")
            put(register, name=word.name)
            if word.doc:
                put(register, description=_summary(word.doc))
            put(register, addressOffset=hex(word.address), access=_SVD_ACCESS[word.access])
            put(register, resetValue=hex(word.init))
            if not word.fields:
                continue
            fields = ElementTree.SubElement(register, "fields")
            for info in word.fields:
                field = ElementTree.SubElement(fields, "field")
                put(field, name=info.name)
                if info.doc:
                    put(field, description=_summary(info.doc))
                put(field, bitOffset=info.offset, bitWidth=info.width)
                put(field, access=_SVD_ACCESS[info.action.access])
                if info.action.modified_write:
                    put(field, modifiedWriteValues=info.action.modified_write)
                if enumerators := _enumerators(info):
                    values = ElementTree.SubElement(field, "enumeratedValues")
                    for member, value in enumerators:
                        entry = ElementTree.SubElement(values, "enumeratedValue")
                        put(entry, name=member, value=value)
    ElementTree.indent(device)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        + ElementTree.tostring(device, encoding="unicode")
        + "\n"
    )


def register_page(memory_map: MemoryMap, *, title: str) -> str:
    """Markdown page: a table of all registers, then a section with the fields of each."""
    resources = list(memory_map.all_resources())
    lines = [f"# {title}", "", "| address | register | access | |", "|---|---|---|---|"]
    for info in resources:
        first, *rest = _words(info)
        path = ".".join(info.path)
        if rest:
            where = f"`0x{first.address:04x}` to `0x{(info.end - 1) * _WORD_BYTES:04x}`"
            lines.append(f"| {where} | {path} | r | {_summary(info.resource.doc)} |")
        else:
            lines.append(
                f"| `0x{first.address:04x}` | {path} | {first.access} | {_summary(first.doc)} |"
            )
    for info in resources:
        first, *_ = _words(info)
        lines += ["", f"## {'.'.join(info.path)}", "", info.resource.doc or "", ""]
        if isinstance(info.resource, CounterArray):
            lines += ["| address | counter (64 bits, low half first) |", "|---|---|"]
            for index, counter in enumerate(info.resource.names):
                lines.append(f"| `0x{first.address + 2 * _WORD_BYTES * index:04x}` | {counter} |")
            continue
        if isinstance(info.resource, WordArray):
            lines.append(f"{info.resource.count} words, `0x{first.address:04x}` being the first.")
            continue
        lines += ["| bits | field | access | reset | |", "|---|---|---|---|---|"]
        for field in first.fields:
            high = field.offset + field.width - 1
            bits = f"{high}:{field.offset}" if field.width > 1 else f"{field.offset}"
            values = ", ".join(f"{value} = {key}" for key, value in _enumerators(field))
            text = " ".join(part for part in (_summary(field.doc), values) if part)
            access = {"oneToClear": "rw1c", "oneToSet": "rw1s"}.get(
                field.action.modified_write, field.action.access
            )
            lines.append(f"| {bits} | {field.name} | {access} | `{field.init:#x}` | {text} |")
    return textwrap.dedent("\n".join(lines)) + "\n"
