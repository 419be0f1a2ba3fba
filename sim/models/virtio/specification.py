"""Numbers of the specification that a driver needs (virtio 1.2), apart from the gateware's."""

from enum import IntEnum, IntFlag

__all__ = [
    "Blk",
    "BlkStatus",
    "BlkType",
    "Cap",
    "Control",
    "DescriptorFlag",
    "Feature",
    "HeaderFlag",
    "Net",
    "Register",
    "Status",
]

NO_VECTOR = 0xFFFF


class Cap(IntEnum):
    """cfg_type of a virtio capability (4.1.4)."""

    COMMON = 1
    NOTIFY = 2
    ISR = 3
    DEVICE = 4
    PCI = 5


class Status(IntFlag):
    """device_status (2.1)."""

    ACKNOWLEDGE = 0x01
    DRIVER = 0x02
    DRIVER_OK = 0x04
    FEATURES_OK = 0x08
    NEEDS_RESET = 0x40
    FAILED = 0x80


class Feature(IntEnum):
    """Reserved feature bits (6)."""

    INDIRECT_DESC = 28
    EVENT_IDX = 29
    VERSION_1 = 32
    ACCESS_PLATFORM = 33
    RING_PACKED = 34
    IN_ORDER = 35
    ORDER_PLATFORM = 36
    NOTIFICATION_DATA = 38
    NOTIF_CONFIG_DATA = 39
    RING_RESET = 40


class Net(IntEnum):
    """Feature bits of the network device (5.1.3)."""

    CSUM = 0
    GUEST_CSUM = 1
    MTU = 3
    MAC = 5
    MRG_RXBUF = 15
    STATUS = 16
    CTRL_VQ = 17
    CTRL_RX = 18
    CTRL_VLAN = 19
    CTRL_RX_EXTRA = 20
    GUEST_ANNOUNCE = 21
    MQ = 22
    CTRL_MAC_ADDR = 23
    SPEED_DUPLEX = 63


class Register(IntEnum):
    """Byte offsets in the common configuration structure (4.1.4.3)."""

    DEVICE_FEATURE_SELECT = 0x00
    DEVICE_FEATURE = 0x04
    DRIVER_FEATURE_SELECT = 0x08
    DRIVER_FEATURE = 0x0C
    CONFIG_VECTOR = 0x10
    NUM_QUEUES = 0x12
    DEVICE_STATUS = 0x14
    CONFIG_GENERATION = 0x15
    QUEUE_SELECT = 0x16
    QUEUE_SIZE = 0x18
    QUEUE_VECTOR = 0x1A
    QUEUE_ENABLE = 0x1C
    QUEUE_NOTIFY_OFF = 0x1E
    QUEUE_DESC = 0x20
    QUEUE_DRIVER = 0x28
    QUEUE_DEVICE = 0x30
    QUEUE_NOTIF_CONFIG_DATA = 0x38
    QUEUE_RESET = 0x3A

    @property
    def size(self) -> int:
        """Width of the field in bytes; 64-bit fields are accessed by halves."""
        if self < 0x10 or 0x20 <= self < 0x38:
            return 4
        return 1 if self in (Register.DEVICE_STATUS, Register.CONFIG_GENERATION) else 2


class DescriptorFlag(IntFlag):
    """Flags of a descriptor (2.7.5)."""

    NEXT = 1
    WRITE = 2
    INDIRECT = 4


class HeaderFlag(IntFlag):
    """Flags of the network header (5.1.6)."""

    NEEDS_CSUM = 1
    DATA_VALID = 2


class Control(IntEnum):
    """Control queue of the network device (5.1.6.5)."""

    CLASS_RX = 0
    RX_PROMISC = 0
    CLASS_MQ = 4
    MQ_VQ_PAIRS_SET = 0
    OK = 0
    ERR = 1


class Blk(IntEnum):
    """Feature bits of the block device (5.2.3)."""

    SIZE_MAX = 1
    SEG_MAX = 2
    GEOMETRY = 4
    RO = 5
    BLK_SIZE = 6
    FLUSH = 9
    TOPOLOGY = 10
    CONFIG_WCE = 11
    MQ = 12
    DISCARD = 13
    WRITE_ZEROES = 14
    LIFETIME = 15
    SECURE_ERASE = 16


class BlkType(IntEnum):
    """Types of requests to the block device (5.2.6)."""

    IN = 0
    OUT = 1
    FLUSH = 4
    GET_ID = 8
    GET_LIFETIME = 10
    DISCARD = 11
    WRITE_ZEROES = 13
    SECURE_ERASE = 14


class BlkStatus(IntEnum):
    """How a request to the block device has ended (5.2.6)."""

    OK = 0
    IOERR = 1
    UNSUPP = 2
