"""What the controller returns: identify data and log pages, as the specification lists them."""

from sim.models.nvme.specification import Structure

__all__ = [
    "Controller",
    "ErrorEntry",
    "FirmwareLog",
    "HealthLog",
    "Namespace",
    "NamespaceOfAnySet",
    "descriptors",
    "words",
]


class Controller(Structure):
    """Identify Controller (Base 2.0, figure 275)."""

    vid = (0, 2)
    ssvid = (2, 2)
    rab = (72, 1)
    cmic = (76, 1)
    mdts = (77, 1)
    cntlid = (78, 2)
    ver = (80, 4)
    oaes = (92, 4)
    ctratt = (96, 4)
    cntrltype = (111, 1)
    oacs = (256, 2)
    acl = (258, 1)
    aerl = (259, 1)
    frmw = (260, 1)
    lpa = (261, 1)
    elpe = (262, 1)
    npss = (263, 1)
    apsta = (265, 1)
    wctemp = (266, 2)
    cctemp = (268, 2)
    hmpre = (272, 4)
    kas = (320, 2)
    sqes = (512, 1)
    cqes = (513, 1)
    maxcmd = (514, 2)
    nn = (516, 4)
    oncs = (520, 2)
    fuses = (522, 2)
    fna = (524, 1)
    vwc = (525, 1)
    awun = (526, 2)
    awupf = (528, 2)
    sgls = (536, 4)
    mnan = (540, 4)

    @property
    def serial(self) -> str:
        """SN."""
        return self.text(4, 20)

    @property
    def model(self) -> str:
        """MN."""
        return self.text(24, 40)

    @property
    def firmware(self) -> str:
        """FR."""
        return self.text(64, 8)

    @property
    def subnqn(self) -> str:
        """NVM subsystem qualified name."""
        return self.text(768, 256)


class Namespace(Structure):
    """Identify Namespace (NVM Command Set 1.0, figure 97)."""

    nsze = (0, 8)
    ncap = (8, 8)
    nuse = (16, 8)
    nsfeat = (24, 1)
    nlbaf = (25, 1)
    flbas = (26, 1)
    mc = (27, 1)
    dpc = (28, 1)
    dps = (29, 1)
    nmic = (30, 1)
    rescap = (31, 1)
    dlfeat = (33, 1)
    nsattr = (99, 1)
    lbaf0_ms = (128, 2)
    lbaf0_lbads = (130, 1)
    lbaf0_rp = (131, 1)

    @property
    def nguid(self) -> bytes:
        """The namespace's globally unique identifier."""
        return self.raw[104:120]

    @property
    def block_bytes(self) -> int:
        """Of a logical block."""
        return 1 << self.lbaf0_lbads


class NamespaceOfAnySet(Structure):
    """I/O Command Set Independent Identify Namespace (Base 2.0, figure 280)."""

    nsfeat = (0, 1)
    nmic = (1, 1)
    rescap = (2, 1)
    fpi = (3, 1)
    anagrpid = (4, 4)
    nsattr = (8, 1)
    nvmsetid = (10, 2)
    endgid = (12, 2)
    nstat = (14, 1)


class ErrorEntry(Structure):
    """Error Information Log Entry (Base 2.0, figure 206)."""

    SIZE = 64

    count = (0, 8)
    sqid = (8, 2)
    cid = (10, 2)
    status = (12, 2)
    parameter = (14, 2)
    lba = (16, 8)
    nsid = (24, 4)


class HealthLog(Structure):
    """SMART / Health Information (Base 2.0, figure 207)."""

    critical = (0, 1)
    temperature = (1, 2)
    spare = (3, 1)
    spare_threshold = (4, 1)
    used = (5, 1)
    units_read = (32, 16)
    units_written = (48, 16)
    reads = (64, 16)
    writes = (80, 16)
    busy_minutes = (96, 16)
    power_cycles = (112, 16)
    power_on_hours = (128, 16)
    unsafe_shutdowns = (144, 16)
    media_errors = (160, 16)
    error_entries = (176, 16)


class FirmwareLog(Structure):
    """Firmware Slot Information (Base 2.0, figure 209)."""

    afi = (0, 1)

    def slot(self, number: int) -> str:
        """Revision in a slot, counted from 1."""
        return self.text(8 * number, 8)


def descriptors(content: bytes) -> dict[int, bytes]:
    """The namespace identification descriptor list (Base 2.0, figure 277), by type."""
    found: dict[int, bytes] = {}
    at = 0
    while content[at + 1]:
        kind, length = content[at], content[at + 1]
        assert kind not in found, "a type stands twice in the list"
        assert content[at + 2 : at + 4] == bytes(2), "reserved bytes are not zero"
        found[kind] = content[at + 4 : at + 4 + length]
        at += 4 + length
    assert not any(content[at:]), "there is something behind the end of the list"
    return found


def words(content: bytes) -> list[int]:
    """A list of 32-bit numbers, up to the first zero; behind it there are zeros alone."""
    numbers = [int.from_bytes(content[at : at + 4], "little") for at in range(0, len(content), 4)]
    end = numbers.index(0) if 0 in numbers else len(numbers)
    assert not any(numbers[end:]), "there is something behind the end of the list"
    return numbers[:end]
