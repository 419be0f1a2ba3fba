"""The yardstick against figures that were worked out elsewhere."""

import pytest

from sim.models import limits


@pytest.mark.parametrize("payload,percent", [(64, 72.7), (128, 84.2), (256, 91.4), (512, 95.5)])
def test_write_efficiency(payload, percent):
    assert 100 * payload / limits.write_bytes(payload, payload) == pytest.approx(percent, abs=0.05)


@pytest.mark.parametrize("payload,percent", [(64, 76.2), (128, 86.5)])
def test_completion_efficiency(payload, percent):
    efficiency = 100 * payload / limits.completion_bytes(payload, payload)
    assert efficiency == pytest.approx(percent, abs=0.05)


def test_small_transmit_is_bound_by_completions():
    limit = limits.virtio_split_tx(60, 2.5)
    assert limit.downstream > limit.upstream
    assert limit.frames_per_second == pytest.approx(2.06e6, rel=0.01)


def test_minimum_frames_on_gigabit_ethernet():
    assert limits.ethernet_frames_per_second(60) == pytest.approx(1.488e6, rel=0.001)
    assert limits.ethernet_frames_per_second(60 + 50) == pytest.approx(0.933e6, rel=0.002)


@pytest.mark.parametrize("length,iops", [(4096, 50_400), (512, 357_000)])
def test_nvme_reads_are_bound_by_what_they_write(length, iops):
    limit = limits.nvme_read(length, 2.5)
    assert limit.upstream > limit.downstream
    assert limit.frames_per_second == pytest.approx(iops, rel=0.01)
