"""Numbers of NVM Express Base 2.0, its PCIe transport, and the NVM command set 1.0."""

from enum import IntEnum, IntFlag

__all__ = [
    "EVERY_NAMESPACE",
    "PAGE_BYTES",
    "Admin",
    "Cns",
    "Config",
    "Csts",
    "Feature",
    "Io",
    "LogPage",
    "Register",
    "Status",
    "Structure",
]

PAGE_BYTES = 4096

#: NSID that stands for all namespaces.
EVERY_NAMESPACE = 0xFFFFFFFF


class Register(IntEnum):
    """Offsets in BAR 0 (Base 3.1.3); the doorbells begin at ``DOORBELLS`` (PCIe 3.1.2)."""

    CAP = 0x00
    VS = 0x08
    INTMS = 0x0C
    INTMC = 0x10
    CC = 0x14
    CSTS = 0x1C
    NSSR = 0x20
    AQA = 0x24
    ASQ = 0x28
    ACQ = 0x30
    DOORBELLS = 0x1000


class Config(IntFlag):
    """Bits of CC; page size and command set are zero: 4 KiB, NVM."""

    ENABLE = 1
    SHUTDOWN_NORMAL = 1 << 14
    SHUTDOWN_ABRUPT = 2 << 14
    #: Entries of 64 and 16 bytes.
    ENTRY_SIZES = 6 << 16 | 4 << 20


class Csts(IntFlag):
    """Bits of CSTS."""

    READY = 1
    FATAL = 1 << 1
    SHUTDOWN_OCCURRING = 1 << 2
    SHUTDOWN_COMPLETE = 2 << 2
    SHUTDOWN = 3 << 2


class Admin(IntEnum):
    """Admin commands."""

    DELETE_SQ = 0x00
    CREATE_SQ = 0x01
    GET_LOG_PAGE = 0x02
    DELETE_CQ = 0x04
    CREATE_CQ = 0x05
    IDENTIFY = 0x06
    ABORT = 0x08
    SET_FEATURES = 0x09
    GET_FEATURES = 0x0A
    ASYNC_EVENT = 0x0C
    KEEP_ALIVE = 0x18


class Io(IntEnum):
    """Commands of the NVM command set."""

    FLUSH = 0x00
    WRITE = 0x01
    READ = 0x02
    WRITE_UNCORRECTABLE = 0x04
    COMPARE = 0x05
    WRITE_ZEROES = 0x08
    DATASET_MANAGEMENT = 0x09
    VERIFY = 0x0C


class Cns(IntEnum):
    """What Identify returns."""

    NAMESPACE = 0x00
    CONTROLLER = 0x01
    ACTIVE = 0x02
    DESCRIPTORS = 0x03
    NAMESPACE_OF_SET = 0x05
    CONTROLLER_OF_SET = 0x06
    ACTIVE_OF_SET = 0x07
    NAMESPACE_ANY_SET = 0x08
    SETS = 0x1C


class LogPage(IntEnum):
    """Log page identifiers."""

    SUPPORTED = 0x00
    ERRORS = 0x01
    HEALTH = 0x02
    FIRMWARE = 0x03
    CHANGED_NAMESPACES = 0x04
    EFFECTS = 0x05
    FEATURES = 0x12


class Feature(IntEnum):
    """Feature identifiers."""

    ARBITRATION = 0x01
    POWER = 0x02
    TEMPERATURE = 0x04
    ERROR_RECOVERY = 0x05
    WRITE_CACHE = 0x06
    QUEUES = 0x07
    COALESCING = 0x08
    VECTOR = 0x09
    ATOMICITY = 0x0A
    EVENTS = 0x0B
    TIMESTAMP = 0x0E
    KEEP_ALIVE = 0x0F


class Status(IntEnum):
    """Status code type in bits 10:8, status code in bits 7:0 (Base 3.3.3.2.1)."""

    SUCCESS = 0x000
    INVALID_OPCODE = 0x001
    INVALID_FIELD = 0x002
    CID_CONFLICT = 0x003
    DATA_TRANSFER = 0x004
    INTERNAL = 0x006
    ABORT_REQUESTED = 0x007
    SQ_DELETED = 0x008
    INVALID_NAMESPACE = 0x00B
    SEQUENCE = 0x00C
    PRP_OFFSET = 0x013
    WRITE_PROTECTED = 0x020
    LBA_RANGE = 0x080
    NOT_READY = 0x082
    COMPLETION_QUEUE = 0x100
    QUEUE_IDENTIFIER = 0x101
    QUEUE_SIZE = 0x102
    ABORT_LIMIT = 0x103
    EVENT_LIMIT = 0x105
    VECTOR = 0x108
    LOG_PAGE = 0x109
    QUEUE_DELETION = 0x10C
    NOT_SAVEABLE = 0x10D
    NOT_CHANGEABLE = 0x10E
    NOT_OF_NAMESPACE = 0x10F
    READ_ONLY_RANGE = 0x182
    WRITE_FAULT = 0x280
    UNRECOVERED_READ = 0x281
    ACCESS_DENIED = 0x286


class Structure:
    """Fields of a structure in bytes, little-endian, as the specification's figures list them.

    A subclass names its fields: first byte, and number of bytes. Making one of bytes takes them
    apart; ``raw`` keeps the bytes.
    """

    def __init__(self, content: bytes) -> None:
        self.raw = content
        for name, (at, size) in self.fields().items():
            setattr(self, name, int.from_bytes(content[at : at + size], "little"))

    @classmethod
    def fields(cls) -> dict[str, tuple[int, int]]:
        """Place and size of each field, by name."""
        return {
            name: place
            for name, place in vars(cls).items()
            if isinstance(place, tuple) and not name.startswith("_")
        }

    def text(self, at: int, size: int) -> str:
        """An ASCII field, without its padding."""
        return self.raw[at : at + size].decode("ascii").rstrip(" \0")
