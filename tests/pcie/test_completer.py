"""Declarations: what configuration space is made of, and what is rejected."""

import re

import pytest

from niter.interface import Bar, Capability, Function, Msix, WindowCapability
from niter.pcie.tl.completer import Completer
from niter.pcie.tl.image import Image, Register
from niter.pcie.tl.windows import BarWindows


def function(**named) -> Function:
    declaration = {"vendor": 0x1AF4, "device": 0x1041, "subsystem_vendor": 0x1AF4}
    declaration |= {"subsystem": 1, "class_code": 0x020000, "revision": 3}
    return Function(**{**declaration, **named})


def image(declared: Function, multifunction: bool = False) -> Image:
    return Image(declared, multifunction=multifunction, generation=1, max_payload=128)


def words(space: bytes, at: int, count: int) -> list[int]:
    """Doublewords of configuration space."""
    return [int.from_bytes(space[at + 4 * n : at + 4 * n + 4], "little") for n in range(count)]


def walk(space: bytes) -> list[int]:
    """The capabilities' IDs, in list order."""
    found, at = [], space[0x34]
    while at:
        found.append(space[at])
        at = space[at + 1]
    return found


def test_capability_list_has_what_is_declared():
    assert walk(image(function()).defaults) == [0x01, 0x10]
    declared = function(
        bars=(Bar(0, 0x4000),),
        msix=Msix(4, 0, 0x2000, 0x3000),
        capabilities=(Capability(bytes([5, 1, 2])), WindowCapability(bytes([20, 5, *bytes(16)]))),
    )
    made = image(declared)
    assert walk(made.defaults) == [0x01, 0x10, 0x11, 0x09, 0x09]
    # The first capability takes 5 bytes, and the next one starts at a doubleword.
    assert made.window is not None
    assert made.window.data * 4 == 0x90 + 8 + 16


def test_bars_have_type_and_size():
    made = image(function(bars=(Bar(2, 1 << 33, prefetchable=True), Bar(0, 0x1000))))
    bar = int(Register.BAR)
    assert words(made.defaults, bar, 4) == [0x4, 0, 0xC, 0]
    assert words(made.masks, bar, 4) == [0xFFFF_F000, 0xFFFF_FFFF, 0, 0xFFFF_FFFE]


def test_multifunction_bit():
    assert image(function()).defaults[0x0E] == 0
    assert image(function(), multifunction=True).defaults[0x0E] == 0x80


@pytest.mark.parametrize(
    "declared, message",
    [
        (
            function(capabilities=(Capability(bytes(60)), Capability(bytes(60)))),
            "The capabilities take 16 bytes too many",
        ),
        (
            function(msix=Msix(1, 2, 0, 0x800), bars=(Bar(0, 0x1000),)),
            "The MSI-X table is in BAR 2, which is not declared",
        ),
        (
            function(capabilities=(WindowCapability(bytes(18), data_at=17),)),
            "The fields of a window start at doublewords",
        ),
    ],
)
def test_image_rejects(declared, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        image(declared)


def test_small_bar_is_rejected():
    with pytest.raises(ValueError, match="BAR 4 has 2048 bytes, less than a page"):
        BarWindows([function(bars=(Bar(4, 2048),))])


@pytest.mark.parametrize(
    "arguments, named, message",
    [
        (([], []), {}, "A card has 1 to 8 functions, not 0"),
        (([function()] * 9, [0] * 9), {}, "A card has 1 to 8 functions, not 9"),
        (([function()], [0, 0]), {}, "Each function needs the index of its engine"),
        (([function()], [0]), {"generation": 3}, "A link is of generation 1 or 2, not 3"),
        (
            ([function()], [0]),
            {"max_payload": 512},
            "The largest payload is 128 or 256 bytes, not 512",
        ),
    ],
)
def test_completer_rejects(arguments, named, message):
    with pytest.raises(ValueError, match=message):
        Completer(*arguments, **named)
