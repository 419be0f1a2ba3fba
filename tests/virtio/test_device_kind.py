import dataclasses

import pytest

from niter.interface import WindowCapability
from niter.virtio.features import NetFeature, RingFeature
from niter.virtio.net.config import net_device
from niter.virtio.net.multiqueue import Multiqueue
from niter.virtio.pci import Transport

NET = net_device(4, 256)


def test_the_network_device_is_declared_as_the_specification_has_it():
    function = NET.function()
    assert (function.vendor, function.device, function.revision) == (0x1AF4, 0x1041, 1)
    assert function.class_code == 0x020000
    assert function.subsystem >= 0x40
    assert NET.queues == 9 and NET.vectors == 10
    assert [NET.pulled(index) for index in range(9)] == [True, False] * 4 + [False]


def test_what_firmware_answers_is_offered_where_there_is_one():
    served = net_device(4, services=True).features - NET.features
    assert served == {18, 19, 20, 21, 23}
    assert NET.features >= {17, 22}


def test_capabilities_point_into_their_bar():
    function = NET.function(subsystem_vendor=0x1234, subsystem=0x77)
    assert (function.subsystem_vendor, function.subsystem) == (0x1234, 0x77)
    sizes = {bar.index: bar.size for bar in function.bars}
    kinds, pages = [], []
    for capability in function.capabilities:
        body = capability.body
        assert body[0] == len(body) + 2, "cap_len counts all bytes"
        assert body[0] % 4 == 0
        offset = int.from_bytes(body[6:10], "little")
        length = int.from_bytes(body[10:14], "little")
        assert offset + length <= sizes[body[2]]
        kinds.append(body[1])
        pages.append(offset // 4096)
        if body[1] == 2:
            multiplier = int.from_bytes(body[14:18], "little")
            assert multiplier % 4 == 0, "NOTIFICATION_DATA writes four bytes"
            assert length >= (NET.queues - 1) * multiplier + 4
        assert isinstance(capability, WindowCapability) == (body[1] == 5)
    assert sorted(kinds) == [1, 2, 3, 4, 5]
    assert len(set(pages[:4])) == 4, "each structure can be mapped alone"


def test_the_msix_table_stands_in_its_bar():
    function = NET.function()
    msix = function.msix
    size = {bar.index: bar.size for bar in function.bars}[msix.bar]
    assert msix.table + 16 * msix.vectors <= msix.pba
    assert msix.pba + 8 <= size


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"queues": 0}, "A device has 1 to 12 queues, not 0"),
        ({"queues": 13}, "A device has 1 to 12 queues, not 13"),
        ({"config": (0,) * 17}, "There are up to 16 words of configuration, not 17"),
        ({"queue_size": 24}, "A queue's size is a power of two from 2 to 1024, not 24"),
        ({"queue_size": 2048}, "A queue's size is a power of two from 2 to 1024, not 2048"),
        ({"features": frozenset({0})}, "A modern device offers VERSION_1"),
        (
            {"features": frozenset({RingFeature.VERSION_1, NetFeature.MQ})},
            "Feature 22 is offered without 17",
        ),
        ({"requires": ((17, 33),)}, "Features 17 and 33 stand in different halves"),
    ],
)
def test_a_kind_that_cannot_be_is_refused(change, text):
    with pytest.raises(ValueError) as error:
        dataclasses.replace(NET, **change)
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Transport(NET, 9), "There are 1 to 8 functions, not 9"),
        (lambda: Multiqueue(8), "A function has 1 to 7 queue pairs, not 8"),
    ],
)
def test_numbers_out_of_range_are_refused(make, text):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == text
