"""The NVMe admin commands: what the firmware answers, and what it tells the hardware.

Structures are taken apart by ``sim.models.nvme``, whose fields come from the specification.
"""

import pytest

from firmware.host.nvme import Namespace
from niter.nvme.front.messages import NO_INTERRUPT, ReplyKind
from sim.models.nvme.specification import EVERY_NAMESPACE, Admin, Cns, Feature, Io, LogPage, Status
from sim.models.nvme.structures import (
    Controller,
    ErrorEntry,
    FirmwareLog,
    HealthLog,
    NamespaceOfAnySet,
    descriptors,
    words,
)
from sim.models.nvme.structures import Namespace as NamespaceData

from .nvme_host import LIMITS, Host

PAGE = 0x1_0000_0000
MORE, DNR = 1 << 13, 1 << 14
SMALL = Namespace(3, 0x1_2345_6789, bytes(range(16)))
LARGE = Namespace(5, 1000, bytes(range(16, 32)), block_bytes=4096, read_only=True)


@pytest.fixture
def host():
    host = Host()
    host.enable()
    host.attach(0, 1, SMALL)
    host.attach(0, 3, LARGE)
    yield host
    host.close()


def check(told, status=Status.SUCCESS, *, retry=False):
    """The completion has this status, with the bits that belong to it."""
    expected = 0 if status == Status.SUCCESS else status | MORE | (0 if retry else DNR)
    assert told.status == expected, (Status(told.status & 0x7FF).name, hex(told.status))
    return told.result


def identify(host, cns, nsid=0, **fields):
    check(host.command(Admin.IDENTIFY, prp1=PAGE, nsid=nsid, dw10=cns, **fields))
    return host.memory(PAGE, 4096)


def log(host, page, length, *, retain=False, offset=0):
    numd = length // 4 - 1
    check(
        host.command(
            Admin.GET_LOG_PAGE,
            prp1=PAGE,
            nsid=EVERY_NAMESPACE,
            dw10=page | retain << 15 | (numd & 0xFFFF) << 16,
            dw11=numd >> 16,
            dw12=offset,
        )
    )
    return host.memory(PAGE, length)


def create_cq(host, queue, *, last=63, vector=None, **fields):
    interrupts = 0 if vector is None else vector << 16 | 2
    return host.command(
        Admin.CREATE_CQ, prp1=PAGE, dw10=queue | last << 16, dw11=interrupts | 1, **fields
    )


def create_sq(host, queue, cq, *, last=63, **fields):
    return host.command(
        Admin.CREATE_SQ, prp1=PAGE, dw10=queue | last << 16, dw11=cq << 16 | 1, **fields
    )


def test_identify_controller(host):
    found = Controller(identify(host, Cns.CONTROLLER))
    assert found.ver == 0x20000 and found.cntrltype == 1
    assert (found.sqes, found.cqes, found.nn) == (0x66, 0x44, LIMITS.namespaces)
    assert (found.serial, found.model, found.firmware) == ("NITER-00010", "Niter storage", "0.1.0")
    assert found.subnqn.endswith(":0")
    assert found.oacs == found.fuses == found.sgls == found.cmic == 0
    # Mandatory since 1.2: both temperatures, and the first above the other.
    assert 0 < found.wctemp < found.cctemp
    # Compare, DSM, Write Zeroes, Save/Select, Timestamp, Verify.
    assert found.oncs == 0b1101_1101
    check(host.command(Admin.IDENTIFY, function=1, prp1=PAGE, dw10=Cns.CONTROLLER))
    other = Controller(host.memory(PAGE, 4096))
    assert other.subnqn != found.subnqn and other.serial != found.serial
    assert (found.cntlid, other.cntlid) == (0, 1)


def test_identify_namespace(host):
    small, large = (NamespaceData(identify(host, Cns.NAMESPACE, nsid)) for nsid in (1, 3))
    assert small.nsze == small.ncap == small.nuse == SMALL.blocks
    assert (small.nguid, small.block_bytes, small.nsattr) == (SMALL.id, 512, 0)
    assert (small.nlbaf, small.flbas, small.mc, small.dps, small.lbaf0_ms) == (0, 0, 0, 0, 0)
    assert (large.nsze, large.block_bytes, large.nsattr) == (1000, 4096, 1)
    assert identify(host, Cns.NAMESPACE, 2) == bytes(4096), "inactive: all zeros"
    independent = NamespaceOfAnySet(identify(host, Cns.NAMESPACE_ANY_SET, 3))
    assert (independent.nsattr, independent.nstat) == (1, 1)
    assert identify(host, Cns.NAMESPACE_OF_SET, 1) == bytes(4096)
    assert identify(host, Cns.CONTROLLER_OF_SET) == bytes(4096)
    assert descriptors(identify(host, Cns.DESCRIPTORS, 3)) == {2: LARGE.id, 4: b"\0"}


def test_active_namespaces(host):
    for cns in (Cns.ACTIVE, Cns.ACTIVE_OF_SET):
        assert words(identify(host, cns)) == [1, 3]
        assert words(identify(host, cns, 1)) == [3]
        assert words(identify(host, cns, 3)) == []
    assert int.from_bytes(identify(host, Cns.SETS), "little") == 1
    host.detach(0, 1)
    assert words(identify(host, Cns.ACTIVE)) == [3]
    check(host.command(Admin.IDENTIFY, function=1, prp1=PAGE, dw10=Cns.ACTIVE))
    assert words(host.memory(PAGE, 4096)) == []


@pytest.mark.parametrize(
    ("cns", "nsid", "csi", "status"),
    [
        (Cns.NAMESPACE, 0, 0, Status.INVALID_NAMESPACE),
        (Cns.NAMESPACE, LIMITS.namespaces + 1, 0, Status.INVALID_NAMESPACE),
        (Cns.NAMESPACE, EVERY_NAMESPACE, 0, Status.INVALID_NAMESPACE),
        (Cns.DESCRIPTORS, 2, 0, Status.INVALID_FIELD),
        (Cns.DESCRIPTORS, EVERY_NAMESPACE, 0, Status.INVALID_NAMESPACE),
        (Cns.ACTIVE, EVERY_NAMESPACE, 0, Status.INVALID_NAMESPACE),
        (Cns.ACTIVE, EVERY_NAMESPACE - 1, 0, Status.INVALID_NAMESPACE),
        (Cns.NAMESPACE_OF_SET, 1, 2, Status.INVALID_FIELD),
        (Cns.CONTROLLER_OF_SET, 0, 1, Status.INVALID_FIELD),
        (0x10, 0, 0, Status.INVALID_FIELD),
        (0xFF, 0, 0, Status.INVALID_FIELD),
    ],
)
def test_identify_refuses(host, cns, nsid, csi, status):
    told = host.command(Admin.IDENTIFY, prp1=PAGE, nsid=nsid, dw10=cns, dw11=csi << 24)
    check(told, status)
    assert not host.model.copies


def test_what_the_table_of_the_hardware_says(host):
    """Records as ``niter.nvme.engine.namespaces`` has them; flags last, and zero in between."""
    assert host.attach(1, 2, LARGE)
    first = 4 * (16 * 1 + 1)
    assert host.model.table[first] == 1 | 2 | 4 | LARGE.volume << 4
    assert [host.model.table[first + n] for n in (1, 2)] == [1000, 0]
    assert [host.model.table[n] for n in range(3)] == [1 | SMALL.volume << 4, 0x2345_6789, 1]
    host.detach(1, 2)
    assert host.model.table[first] == 0
    assert not host.attach(1, 0, SMALL) and not host.attach(1, 17, SMALL)
    assert not host.attach(2, 1, SMALL)
    assert not host.attach(0, 2, Namespace(16, 8, bytes(16)))
    assert not host.attach(0, 2, Namespace(1, 8, bytes(16), block_bytes=1024))


@pytest.mark.parametrize("offset", [0, 4, 0x800, 0xFFC])
def test_data_across_two_pages(host, offset):
    whole = identify(host, Cns.CONTROLLER)
    told = host.command(Admin.IDENTIFY, prp1=PAGE + offset, prp2=0x7000, dw10=Cns.CONTROLLER)
    check(told)
    first = host.memory(PAGE + offset, 4096 - offset)
    assert first + (host.memory(0x7000, offset) if offset else b"") == whole


@pytest.mark.parametrize(
    ("prp1", "prp2"),
    [(PAGE + 1, 0), (PAGE + 2, 0x7000), (PAGE + 4, 0x7004), (PAGE + 0x800, 0x7800)],
)
def test_prps_with_wrong_offsets(host, prp1, prp2):
    told = host.command(Admin.IDENTIFY, prp1=prp1, prp2=prp2, dw10=Cns.CONTROLLER)
    check(told, Status.PRP_OFFSET)
    assert not host.model.copies


def test_a_log_page_whose_prps_are_a_list(host):
    """What the second entry is depends on what the host asks for, not on what it gets."""
    host.model.memory.update(enumerate((0x9000).to_bytes(8, "little"), 0x7008))
    whole = log(host, LogPage.EFFECTS, 4096)
    numd = 4 * 4096 // 4 - 1
    command = {"nsid": EVERY_NAMESPACE, "dw10": LogPage.EFFECTS | numd << 16}
    told = host.command(Admin.GET_LOG_PAGE, prp1=PAGE + 0x800, prp2=0x7008, **command)
    check(told)
    assert host.memory(PAGE + 0x800, 2048) + host.memory(0x9000, 2048) == whole
    host.model.memory.update(enumerate((0x9004).to_bytes(8, "little"), 0x7008))
    told = host.command(Admin.GET_LOG_PAGE, prp1=PAGE + 0x800, prp2=0x7008, **command)
    check(told, Status.PRP_OFFSET)
    told = host.command(Admin.GET_LOG_PAGE, prp1=PAGE + 0x800, prp2=0x700C, **command)
    check(told, Status.PRP_OFFSET)


def test_memory_that_the_host_refuses(host):
    host.model.refused = {PAGE // 4096}
    told = host.command(Admin.IDENTIFY, prp1=PAGE, dw10=Cns.CONTROLLER)
    check(told, Status.DATA_TRANSFER, retry=True)
    told = host.command(Admin.SET_FEATURES, prp1=PAGE, dw10=Feature.TIMESTAMP)
    check(told, Status.DATA_TRANSFER, retry=True)
    told = host.command(Admin.IDENTIFY, prp1=0x4800, prp2=PAGE, dw10=Cns.CONTROLLER)
    check(told, Status.DATA_TRANSFER, retry=True)


def test_other_opcodes(host):
    for opcode in sorted(set(range(256)) - set(Admin)):
        check(host.command(opcode), Status.INVALID_OPCODE)


@pytest.mark.parametrize("flags", [1, 2, 0x40, 0x80])
def test_fused_commands_and_sgls(host, flags):
    for opcode in Admin:
        check(host.command(opcode, flags=flags, dw10=Feature.TIMESTAMP), Status.INVALID_FIELD)


def test_queues_are_created_and_deleted(host):
    told = create_cq(host, 2, last=1023, vector=4)
    check(told)
    assert (told.kind, told.queue, told.last) == (ReplyKind.CREATE_CQ, 2, 1023)
    assert (told.address, told.partner, told.threshold, told.time) == (PAGE, 4, 0, 0)
    told = create_cq(host, 1)
    assert (told.kind, told.partner, told.last) == (ReplyKind.CREATE_CQ, NO_INTERRUPT, 63)
    told = create_sq(host, 4, 2, last=1)
    check(told)
    assert (told.kind, told.queue, told.partner) == (ReplyKind.CREATE_SQ, 4, 2)
    assert (told.address, told.last) == (PAGE, 1)
    check(create_sq(host, 1, 2))
    check(host.command(Admin.DELETE_CQ, dw10=2), Status.QUEUE_DELETION)
    told = host.command(Admin.DELETE_SQ, dw10=4)
    check(told)
    assert (told.kind, told.queue) == (ReplyKind.DELETE_SQ, 4)
    check(host.command(Admin.DELETE_CQ, dw10=2), Status.QUEUE_DELETION)
    check(host.command(Admin.DELETE_SQ, dw10=1))
    told = host.command(Admin.DELETE_CQ, dw10=2)
    check(told)
    assert (told.kind, told.queue) == (ReplyKind.DELETE_CQ, 2)
    check(create_cq(host, 2))


@pytest.mark.parametrize(
    ("queue", "last", "extra", "status"),
    [
        (0, 63, {}, Status.QUEUE_IDENTIFIER),
        (LIMITS.queues + 1, 63, {}, Status.QUEUE_IDENTIFIER),
        (0xFFFF, 63, {}, Status.QUEUE_IDENTIFIER),
        (3, 63, {}, Status.QUEUE_IDENTIFIER),
        (1, 0, {}, Status.QUEUE_SIZE),
        (1, LIMITS.entries, {}, Status.QUEUE_SIZE),
        (1, 0xFFFF, {}, Status.QUEUE_SIZE),
        (1, 63, {"prp1": PAGE + 64}, Status.PRP_OFFSET),
        (1, 63, {"dw11": 0}, Status.INVALID_FIELD),
    ],
)
def test_queues_that_cannot_be_created(host, queue, last, extra, status):
    check(create_cq(host, 3))
    check(create_sq(host, 3, 3))
    for opcode, dw11 in ((Admin.CREATE_CQ, 1), (Admin.CREATE_SQ, 3 << 16 | 1)):
        fields = {"prp1": PAGE, "dw10": queue | last << 16, "dw11": dw11, **extra}
        told = host.command(opcode, **fields)
        check(told, status)
        assert told.kind is ReplyKind.COMPLETE


def test_partners_that_are_not_there(host):
    check(create_cq(host, 1, vector=LIMITS.vectors), Status.VECTOR)
    check(create_sq(host, 1, 0), Status.QUEUE_IDENTIFIER)
    check(create_sq(host, 1, LIMITS.queues + 1), Status.QUEUE_IDENTIFIER)
    check(create_sq(host, 1, 1), Status.COMPLETION_QUEUE)
    for queue in (0, 1, LIMITS.queues + 1, 0xFFFF):
        check(host.command(Admin.DELETE_SQ, dw10=queue), Status.QUEUE_IDENTIFIER)
        check(host.command(Admin.DELETE_CQ, dw10=queue), Status.QUEUE_IDENTIFIER)


def test_a_reset_forgets_queues_and_settings(host):
    check(create_cq(host, 1))
    check(create_sq(host, 1, 1))
    check(host.command(Admin.SET_FEATURES, dw10=Feature.COALESCING, dw11=0x0305))
    open_event = host.submit(Admin.ASYNC_EVENT)
    host.enable()
    assert check(host.command(Admin.GET_FEATURES, dw10=Feature.COALESCING)) == 0
    check(create_sq(host, 1, 1), Status.COMPLETION_QUEUE)
    check(create_cq(host, 1))
    host.event(invalid_value=1)
    assert open_event not in [told.tag for told in host.model.told], "asked for in another life"


def test_number_of_queues(host):
    allocated = (LIMITS.queues - 1) * 0x10001
    for asked in (0, 0x00FF00FF, 0xFFFEFFFE):
        told = host.command(Admin.SET_FEATURES, dw10=Feature.QUEUES, dw11=asked)
        assert check(told) == allocated
    assert check(host.command(Admin.GET_FEATURES, dw10=Feature.QUEUES)) == allocated
    for asked in (0xFFFF, 0xFFFF0000):
        told = host.command(Admin.SET_FEATURES, dw10=Feature.QUEUES, dw11=asked)
        check(told, Status.INVALID_FIELD)
    check(create_cq(host, 1))
    told = host.command(Admin.SET_FEATURES, dw10=Feature.QUEUES, dw11=0)
    check(told, Status.SEQUENCE)


@pytest.mark.parametrize(
    ("feature", "value", "kept", "default"),
    [
        (Feature.ARBITRATION, 0x0A0B0C03, 0x0A0B0C03, 0),
        (Feature.POWER, 0, 0, 0),
        (Feature.TEMPERATURE, 310, 310, 343),
        (Feature.COALESCING, 0x0A05, 0x0A05, 0),
        (Feature.ATOMICITY, 1, 1, 0),
        (Feature.EVENTS, 0x0102, 0x0102, 0),
        (Feature.EVENTS, 0xFFFFFFFF, 0x0102, 0),
        (Feature.KEEP_ALIVE, 1500, 2000, 0),
    ],
)
def test_features_are_kept(host, feature, value, kept, default):
    def get(select):
        return host.command(Admin.GET_FEATURES, dw10=feature | select << 8)

    assert check(get(0)) == default
    check(host.command(Admin.SET_FEATURES, dw10=feature, dw11=value))
    assert check(get(0)) == kept
    assert check(get(1)) == check(get(2)) == default
    assert check(get(3)) == 4, "can be changed; not saved, not of a namespace"
    check(get(4), Status.INVALID_FIELD)
    told = host.command(Admin.SET_FEATURES, dw10=feature | 1 << 31, dw11=value)
    check(told, Status.NOT_SAVEABLE)
    told = host.command(Admin.SET_FEATURES, nsid=1, dw10=feature, dw11=value)
    check(told, Status.NOT_OF_NAMESPACE)


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        (0x00, 0),
        (Feature.WRITE_CACHE, 1),
        (0x10, 0),
        (0xC0, 0),
        (Feature.POWER, 1),
        (Feature.TEMPERATURE, 1 << 16),
        (Feature.TEMPERATURE, 2 << 20),
        (Feature.VECTOR, LIMITS.vectors),
        (Feature.ERROR_RECOVERY, 1 << 16),
    ],
)
def test_features_that_cannot_be_set(host, feature, value):
    told = host.command(Admin.SET_FEATURES, nsid=EVERY_NAMESPACE, dw10=feature, dw11=value)
    check(told, Status.INVALID_FIELD)


def test_both_temperature_thresholds(host):
    check(host.command(Admin.SET_FEATURES, dw10=Feature.TEMPERATURE, dw11=300 | 1 << 20 | 15 << 16))
    assert check(host.command(Admin.GET_FEATURES, dw10=Feature.TEMPERATURE, dw11=1 << 20)) == 300
    assert check(host.command(Admin.GET_FEATURES, dw10=Feature.TEMPERATURE)) == 343
    told = host.command(Admin.GET_FEATURES, dw10=Feature.TEMPERATURE, dw11=15 << 16)
    check(told, Status.INVALID_FIELD)


def test_error_recovery_belongs_to_a_namespace(host):
    def get(nsid):
        return host.command(Admin.GET_FEATURES, nsid=nsid, dw10=Feature.ERROR_RECOVERY)

    check(host.command(Admin.SET_FEATURES, nsid=3, dw10=Feature.ERROR_RECOVERY, dw11=77))
    assert (check(get(1)), check(get(3))) == (0, 77)
    told = host.command(Admin.SET_FEATURES, nsid=EVERY_NAMESPACE, dw10=5, dw11=9)
    check(told)
    assert (check(get(1)), check(get(3))) == (9, 9)
    check(get(2), Status.INVALID_FIELD)
    check(get(0), Status.INVALID_NAMESPACE)
    check(host.command(Admin.SET_FEATURES, nsid=2, dw10=5), Status.INVALID_FIELD)


def test_coalescing_reaches_the_queues(host):
    check(create_cq(host, 1, vector=1))
    check(create_cq(host, 2, vector=2))
    check(create_cq(host, 3))
    check(host.command(Admin.SET_FEATURES, dw10=Feature.VECTOR, dw11=2 | 1 << 16))
    host.model.told.clear()
    check(host.command(Admin.SET_FEATURES, dw10=Feature.COALESCING, dw11=0x0A05))
    told = {each.queue: (each.threshold, each.time) for each in host.model.told}
    assert all(each.kind is ReplyKind.COALESCE and each.silent for each in host.model.told)
    assert told == {1: (5, 10), 2: (0, 0), 3: (0, 0)}
    host.model.told.clear()
    check(host.command(Admin.SET_FEATURES, dw10=Feature.VECTOR, dw11=2))
    assert {each.queue: each.threshold for each in host.model.told} == {1: 5, 2: 5, 3: 0}
    assert check(host.command(Admin.GET_FEATURES, dw10=Feature.VECTOR, dw11=1)) == 1
    created = create_cq(host, 4, vector=1)
    assert (created.threshold, created.time) == (5, 10)


@pytest.mark.parametrize("at", [PAGE, PAGE + 0xFFC])
def test_timestamp(host, at):
    def get():
        check(host.command(Admin.GET_FEATURES, prp1=PAGE, dw10=Feature.TIMESTAMP))
        value = int.from_bytes(host.memory(PAGE, 8), "little")
        return value & (1 << 48) - 1, value >> 49 & 7

    host.wait(30)
    assert get() == (30, 0), "since the controller was enabled"
    content = (1_700_000_000_000).to_bytes(8, "little")
    for n, byte in enumerate(content):
        host.model.memory[at + n if at + n < PAGE + 4096 else 0x7000 + at + n - PAGE - 4096] = byte
    check(host.command(Admin.SET_FEATURES, prp1=at, prp2=0x7000, dw10=Feature.TIMESTAMP))
    host.wait(12)
    assert get() == (1_700_000_000_012, 1)
    host.enable()
    assert get() == (0, 0)


def test_keep_alive(host):
    check(host.command(Admin.SET_FEATURES, dw10=Feature.KEEP_ALIVE, dw11=3000))
    for _ in range(3):
        host.wait(2900)
        check(host.command(Admin.KEEP_ALIVE))
    host.model.told.clear()
    host.wait(3001)
    (told,) = host.model.told
    assert (told.kind, told.function, bool(told.silent)) == (ReplyKind.FAIL, 0, True)
    host.wait(10_000)
    assert len(host.model.told) == 1
    host.enable()
    host.wait(10_000)
    assert len(host.model.told) == 1


def test_aborts(host):
    told = host.command(Admin.ABORT, dw10=1 | 0x77 << 16)
    assert (told.kind, check(told)) == (ReplyKind.COMPLETE, 1)
    check(create_cq(host, 1))
    check(create_sq(host, 1, 1))
    told = host.command(Admin.ABORT, dw10=1 | 0x77 << 16)
    assert (told.kind, told.queue, told.cid, check(told)) == (ReplyKind.ABORT, 1, 0x77, 1)
    assert check(host.command(Admin.ABORT, dw10=0xFFFF | 1 << 16)) == 1
    event = host.submit(Admin.ASYNC_EVENT)
    assert check(host.command(Admin.ABORT, dw10=(event + 5) << 16)) == 1
    assert check(host.command(Admin.ABORT, dw10=event << 16)) == 0
    (told,) = host.model.told
    assert (told.tag, told.status) == (event, Status.ABORT_REQUESTED)


def test_events_of_namespaces(host):
    event = host.submit(Admin.ASYNC_EVENT)
    host.attach(0, 2, SMALL)
    assert not host.model.told, "nobody asked for it"
    log(host, LogPage.CHANGED_NAMESPACES, 4096)
    check(host.command(Admin.SET_FEATURES, dw10=Feature.EVENTS, dw11=1 << 8))
    host.detach(0, 2)
    host.attach(1, 2, SMALL)
    (told,) = host.model.told
    assert (told.tag, told.function, told.status, told.result) == (event, 0, 0, 0x040002)
    host.model.told.clear()

    event = host.submit(Admin.ASYNC_EVENT)
    host.attach(0, 5, SMALL)
    assert not host.model.told, "the host has not read of the last one"
    assert words(log(host, LogPage.CHANGED_NAMESPACES, 4096, retain=True)) == [2, 5]
    host.attach(0, 7, SMALL)
    assert not host.model.told
    assert words(log(host, LogPage.CHANGED_NAMESPACES, 4096)) == [2, 5, 7]
    assert not host.model.told, "it has read of all"
    assert words(log(host, LogPage.CHANGED_NAMESPACES, 4096)) == []
    host.detach(0, 7)
    (told,) = host.model.told
    assert (told.tag, told.result) == (event, 0x040002)


def test_events_wait_for_a_request(host):
    check(host.command(Admin.SET_FEATURES, dw10=Feature.EVENTS, dw11=1 << 8))
    host.attach(0, 5, SMALL)
    host.event(invalid_register=1)
    event = host.command(Admin.ASYNC_EVENT)
    assert event.result == 0x010000, "an error: a doorbell that does not exist"
    assert host.command(Admin.ASYNC_EVENT).result == 0x040002
    event = host.submit(Admin.ASYNC_EVENT)
    host.event(invalid_value=1)
    assert not host.model.told
    log(host, LogPage.ERRORS, 64)
    host.event(invalid_value=1)
    (told,) = host.model.told
    assert (told.tag, told.result) == (event, 0x010100)


def test_as_many_requests_for_events_as_promised(host):
    limit = Controller(identify(host, Cns.CONTROLLER)).aerl + 1
    for _ in range(limit):
        host.submit(Admin.ASYNC_EVENT)
    assert not host.model.told
    check(host.command(Admin.ASYNC_EVENT), Status.EVENT_LIMIT)


def test_temperature(host):
    check(host.command(Admin.SET_FEATURES, dw10=Feature.EVENTS, dw11=1 << 1))
    event = host.submit(Admin.ASYNC_EVENT)
    host.temperature(320)
    found = HealthLog(log(host, LogPage.HEALTH, 512, retain=True))
    assert (found.temperature, found.critical) == (320, 0) and not host.model.told
    host.temperature(350)
    (told,) = host.model.told
    assert (told.tag, told.result) == (event, 0x020101)
    assert HealthLog(log(host, LogPage.HEALTH, 512)).critical == 2


def test_error_log(host):
    first = host.submit(0x7F, nsid=9)
    host.submit(Admin.DELETE_SQ, dw10=9)
    found = log(host, LogPage.ERRORS, 256)
    entries = [ErrorEntry(found[at : at + 64]) for at in range(0, 256, 64)]
    assert [entry.count for entry in entries] == [2, 1, 0, 0], "the newest is the first"
    assert (entries[1].cid, entries[1].sqid, entries[1].nsid) == (first, 0, 9)
    assert entries[1].status >> 1 == Status.INVALID_OPCODE | MORE | DNR
    assert (entries[0].status >> 1 & 0x7FF, entries[0].parameter) == (Status.QUEUE_IDENTIFIER, 40)
    for _ in range(5):
        host.submit(0x7F)
    found = log(host, LogPage.ERRORS, 256)
    assert [ErrorEntry(found[at : at + 64]).count for at in range(0, 256, 64)] == [7, 6, 5, 4]
    assert HealthLog(log(host, LogPage.HEALTH, 512)).error_entries == 7


def test_other_log_pages(host):
    assert FirmwareLog(log(host, LogPage.FIRMWARE, 512)).slot(1) == "0.1.0"
    assert FirmwareLog(log(host, LogPage.FIRMWARE, 512)).afi == 1
    effects = log(host, LogPage.EFFECTS, 4096)
    supported = [n for n in range(1024) if effects[4 * n] & 1]
    commands = {Io.FLUSH, Io.WRITE, Io.READ, Io.COMPARE, Io.WRITE_ZEROES, 9, Io.VERIFY}
    assert supported == [*sorted(Admin), *sorted(256 + opcode for opcode in commands)]
    changing = {n - 256 for n in supported if effects[4 * n] & 2}
    assert changing == {Io.WRITE, Io.WRITE_ZEROES, Io.DATASET_MANAGEMENT}
    pages = log(host, LogPage.SUPPORTED, 1024)
    for page in range(256):
        told = host.command(
            Admin.GET_LOG_PAGE, prp1=PAGE, nsid=EVERY_NAMESPACE, dw10=page | 1 << 16 | 1 << 15
        )
        check(told, Status.SUCCESS if pages[4 * page] & 1 else Status.LOG_PAGE)
    features = log(host, LogPage.FEATURES, 1024)
    for feature in range(256):
        told = host.command(Admin.GET_FEATURES, prp1=PAGE, nsid=1, dw10=feature)
        check(told, Status.SUCCESS if features[4 * feature] & 1 else Status.INVALID_FIELD)


def test_parts_of_log_pages(host):
    whole = log(host, LogPage.EFFECTS, 4096)
    assert log(host, LogPage.EFFECTS, 64, offset=1024) == whole[1024:1088]
    # Beyond the page's end the host's memory stays as it is.
    host.model.copies.clear()
    host.model.memory.update(dict.fromkeys(range(PAGE, PAGE + 64), 0xEE))
    assert log(host, LogPage.HEALTH, 64, offset=480)[32:] == b"\xee" * 32
    common = {"nsid": EVERY_NAMESPACE, "prp1": PAGE}
    for fields in (
        {"dw10": LogPage.HEALTH | 1 << 16, "dw12": 512},
        {"dw10": LogPage.HEALTH | 1 << 16, "dw12": 2},
        {"dw10": LogPage.HEALTH | 1 << 16, "dw13": 1},
        {"dw10": LogPage.HEALTH | 1 << 16, "nsid": 1},
        {"dw10": LogPage.SUPPORTED | 1 << 16, "dw14": 1 << 23},
        {"dw10": LogPage.EFFECTS | 1 << 16, "dw14": 1 << 24},
        {"dw10": LogPage.EFFECTS | 0xFFFF << 16, "dw11": 0xFFFF},
        {"dw10": LogPage.EFFECTS | (32 * 1024) << 16},
    ):
        check(host.command(Admin.GET_LOG_PAGE, **{**common, **fields}), Status.INVALID_FIELD)


def test_a_reset_in_the_middle_of_a_command(host):
    """Orders of a former life are refused: the firmware forgets them, and serves the next."""
    for turns in range(1, 14):
        host.model.send(0, 0, 0x42, bytes([Admin.IDENTIFY]) + bytes(23) + bytes(8) + bytes(32))
        for _ in range(turns):
            host._run(host.admin.turn())
        host.model.told.clear()
        host.enable()
        assert not [told for told in host.model.told if told.tag == 0x42]
        identify(host, Cns.CONTROLLER)
