"""Where things stand in flash and memory, for the boot code, the builder and the benches."""

from dataclasses import dataclass

from niter.soc.config import RAM_BASE, ROM_BASE, ROM_BYTES

__all__ = ["BLOCK", "FLASH", "Flash", "Memory"]

#: What the flash guard's regions are made of.
BLOCK = 64 * 1024


@dataclass(frozen=True)
class Flash:
    """Byte addresses in flash.

    The bitstream comes first. Everything below ``lock_end`` is written at manufacture, or by a
    board's own update of the gateware, and never by a running card.
    """

    loader: int = 0x20_0000
    loader_copy: int = 0x20_8000
    #: Makes the alias key's certificate.
    certifier: int = 0x21_0000
    certifier_copy: int = 0x21_8000
    golden: int = 0x22_0000
    lock_end: int = 0x24_0000
    slot_a: int = 0x24_0000
    slot_b: int = 0x26_0000
    counter: int = 0x28_0000
    #: Two sectors, written in turn.
    policy: int = 0x29_0000
    #: Certificates of the root and of the device key, and that of the alias key.
    chain: int = 0x29_2000
    certificate: int = 0x29_3000
    #: Device secret: 32 bytes.
    secret: int = 0xFF_0000

    slot_bytes: int = 2 * BLOCK


FLASH = Flash()


@dataclass(frozen=True)
class Memory:
    """Addresses in the core's memory, from its bottom: image, loader, stack, handover.

    The image's own variables begin behind it and may use all up to the stack, over the loader,
    which is over by then.

    Parameters
    ----------
    ram_bytes
        Size of the memory.
    """

    ram_bytes: int

    #: Longest loader with its variables; stack of each program; what the loader leaves.
    LOADER, STACK, HANDOVER = 12 * 1024, 4096 - 128, 128

    #: Stack of the firmware: what is long computes on another.
    FIRMWARE_STACK = 2048

    #: Longest certifier, which runs in the image's place.
    CERTIFIER = 24 * 1024

    @property
    def end(self) -> int:
        """Behind the memory's last byte."""
        return RAM_BASE + self.ram_bytes

    @property
    def handover(self) -> int:
        """What the loader leaves for the firmware."""
        return self.end - self.HANDOVER

    @property
    def stack_bottom(self) -> int:
        """The lowest byte of the stack, which begins below the handover."""
        return self.handover - self.STACK

    @property
    def loader(self) -> int:
        """Where the loader runs."""
        return self.stack_bottom - self.LOADER

    @property
    def longest_image(self) -> int:
        """Bytes of content that an image may have."""
        return self.loader - RAM_BASE

    def header(self) -> str:
        """All of it, as a C header."""
        numbers = {
            "ROM_BASE": ROM_BASE,
            "ROM_BYTES": ROM_BYTES,
            "IMAGE_BASE": RAM_BASE,
            "IMAGE_LONGEST": self.longest_image,
            "LOADER_BASE": self.loader,
            "STACK_BOTTOM": self.stack_bottom,
            "HANDOVER_BASE": self.handover,
            "LOADER": FLASH.loader,
            "LOADER_COPY": FLASH.loader_copy,
            "CERTIFIER": FLASH.certifier,
            "CERTIFIER_COPY": FLASH.certifier_copy,
            "GOLDEN_AT": FLASH.golden,
            "LOCK_END": FLASH.lock_end,
            "SLOT_A_AT": FLASH.slot_a,
            "SLOT_B_AT": FLASH.slot_b,
            "SLOT_BYTES": FLASH.slot_bytes,
            "COUNTER_AT": FLASH.counter,
            "POLICY_AT": FLASH.policy,
            "CHAIN_AT": FLASH.chain,
            "CERTIFICATE_AT": FLASH.certificate,
            "SECRET_AT": FLASH.secret,
        }
        lines = [f"#define BOOT_{name} 0x{value:x}u" for name, value in numbers.items()]
        guard = ["/* Generated from firmware.boot.layout. */", "#ifndef BOOT_LAYOUT_H"]
        return "\n".join([*guard, "#define BOOT_LAYOUT_H", "", *lines, "", "#endif", ""])

    def linker_script(self, base: int, limit: int, stack: int) -> str:
        """For a program that runs at ``base``, its code and constants being ``limit`` bytes long.

        Variables stand behind them, in the ROM's case at the memory's bottom, and leave ``stack``
        bytes.
        """
        variables = "" if base != ROM_BASE else f"  . = 0x{RAM_BASE:x};\n"
        return (
            "/* Generated from firmware.boot.layout. */\n"
            "ENTRY(_start)\n"
            "SECTIONS\n{\n"
            f"  . = 0x{base:x};\n"
            "  .text : { KEEP(*(.reset)) KEEP(*(.start)) *(.text .text.*) }\n"
            "  .rodata : { *(.rodata .rodata.* .srodata .srodata.*) }\n"
            "  .data : { *(.data .data.* .sdata .sdata.*) . = ALIGN(4); }\n"
            "  image_end = .;\n"
            f"{variables}"
            "  .bss (NOLOAD) : { bss_start = .; *(.bss .bss.* .sbss .sbss.* COMMON) "
            ". = ALIGN(4); bss_end = .; }\n"
            f"  stack_top = 0x{self.handover:x};\n"
            f'  ASSERT(image_end <= 0x{base + limit:x}, "too long")\n'
            f'  ASSERT(bss_end <= 0x{self.handover - stack:x}, "no room for the stack")\n'
            "  /DISCARD/ : { *(.comment) *(.eh_frame*) *(.riscv.attributes) }\n"
            "}\n"
        )
