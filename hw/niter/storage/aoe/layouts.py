"""The initiator's memory: a few words for each slot, each request and each target."""

from amaranth.lib import data, enum

from niter.interface import BlockOpcode, BlockStatus

from .codec import GENERATION_BITS, SLOT_BITS

__all__ = [
    "COPIES",
    "LANES",
    "LANE_BITS",
    "REQUEST_WORDS",
    "SAMPLE_BITS",
    "SLOT_WORDS",
    "TIME_BITS",
    "WORD_BITS",
    "Limits",
    "RequestLink",
    "RequestPlace",
    "RequestRest",
    "RequestState",
    "Settings",
    "SlotCopies",
    "SlotKind",
    "SlotSpan",
    "SlotStart",
    "SlotState",
    "SlotTime",
    "TargetState",
]

#: What a word of an EBR holds, in lanes that can be written by themselves.
LANE_BITS, LANES = 9, 4
WORD_BITS = LANES * LANE_BITS

#: Of a time, in ticks.
TIME_BITS = 22

#: Of a round-trip time that is learnt from.
SAMPLE_BITS = 14

#: Copies of a frame of which each is known to be answered or not.
COPIES = 8


class SlotState(enum.Enum, shape=2):
    """What a slot is used for."""

    FREE = 0
    #: A frame waits for its answer.
    ACTIVE = 1
    #: Nobody waits, but the network may still deliver a copy.
    HELD = 2


class SlotKind(data.Struct):
    """``danger``: a copy of this write may yet be executed after its answer came, so nobody
    else gets at its sectors. ``lost``: more copies are under way than ``outstanding`` tells.
    ``place``: lower bits of where its sectors begin at the target, as much as tells whether others
    are the same; one time in thousands they are not, and wait for nothing. From ``target`` on, and
    in lanes of their own, stands what does not change while it has the same frame: there it is what
    was read, and what is written of a new frame comes from where it is in hand anyway."""

    state: SlotState
    danger: 1
    lost: 1
    copies: 4
    opcode: BlockOpcode
    target: 4
    sectors: 5
    place: 16


class SlotCopies(data.Struct):
    """Generation of the last copy; which copies are not answered, the last one in bit 0."""

    generation: GENERATION_BITS
    outstanding: COPIES


class SlotSpan(data.Struct):
    """Of which request, from which sector on, and how many of them are done. In a free slot
    ``tag`` is the next free one."""

    tag: 8
    first: 16
    done: 5


class SlotTime(data.Struct):
    """When the last copy was sent, what sectors it has, and the number of the order behind its."""

    sent: TIME_BITS
    part: 5
    serial: 5


class SlotStart(data.Struct):
    """When the first copy was sent."""

    started: TIME_BITS


#: Words of a slot, in the order in which they are read.
SLOT_WORDS = (SlotKind, SlotCopies, SlotSpan, SlotTime, SlotStart)


class RequestState(data.Struct):
    """``cut`` sectors are in slots or done; ``active`` slots work on them. ``queued``: it is in
    its target's list. ``live``: it has not ended."""

    cut: 16
    active: 7
    status: BlockStatus
    opcode: BlockOpcode
    fua: 1
    queued: 1
    live: 1


class RequestRest(data.Struct):
    """Rest of the place, length and target."""

    lba_high: 48 - WORD_BITS
    sectors: 16
    target: 4


class RequestLink(data.Struct):
    """The request behind it in its target's list, and when it came."""

    next: 8
    arrival: TIME_BITS


class RequestPlace(data.Struct):
    """Where the first sector stands at the target, without ``lba_high``."""

    lba_low: WORD_BITS


#: Words of a request, in the order in which they are read.
REQUEST_WORDS = (RequestState, RequestRest, RequestLink, RequestPlace)


class TargetState(data.Struct):
    """What is known of the way to a target, and its list of requests.

    Members
    -------
    listed : 1 bit
        There are requests in the list.
    head, tail : 8 bits
        Its ends.
    blocked : 4 bits
        The first of them cannot be sent while this is the desk's count of changes.
    inflight, window, credit : 7 bits
        Active slots, how many there may be, and answers since the last change of that.
    sampled, mean, deviation : 1, 17 and 16 bits
        Round-trip time in eighths, and four times its deviation in ticks, once there was one.
    settled : 1 bit
        A window of answers came since it was made smaller.
    silent : 1 bit
        A frame was given up, and none was answered since.
    proven, fallen : 1 bit
        A frame of more than two sectors was answered; or none was, and no more are tried.
    """

    listed: 1
    head: 8
    tail: 8
    blocked: 4
    inflight: SLOT_BITS + 1
    window: SLOT_BITS + 1
    credit: SLOT_BITS + 1
    sampled: 1
    mean: SAMPLE_BITS + 3
    deviation: SAMPLE_BITS + 2
    settled: 1
    silent: 1
    proven: 1
    fallen: 1


class Limits(data.Struct):
    """What control says of a target, from ``TargetRecord.FLAGS``."""

    buffers: SLOT_BITS + 1
    sectors: 5
    enabled: 1
    paused: 1


class Settings(data.Struct):
    """What control says of the network; times in ticks.

    Members
    -------
    seed : 24 bits
        Mixed into all generations.
    receive : 10 bits
        Room for answers in flight, in units of 64 bytes.
    floor : 16 bits
        Shortest time after which a frame is sent again.
    silence : TIME_BITS
        How long a target may be silent.
    lifetime : TIME_BITS
        How long the network may keep a frame.
    """

    seed: GENERATION_BITS
    receive: 10
    floor: 16
    silence: TIME_BITS
    lifetime: TIME_BITS
