"""Which cards have firmware behind their control queues."""

import dataclasses

from niter.card import CardConfig
from niter.soc import SocConfig
from niter.virtio.net import VirtioNet


def test_firmware_answers_where_there_is_some_and_it_is_wanted():
    processor = CardConfig(soc=SocConfig())
    assert processor.served
    assert not CardConfig().served
    assert not dataclasses.replace(processor, commands=False).served


def test_without_it_nothing_more_is_offered():
    plain, served = VirtioNet(functions=1), VirtioNet(functions=1, services=True)
    assert not hasattr(plain, "mailbox") and hasattr(served, "mailbox")
    assert plain.kind.features < served.kind.features
