"""Registers of the key store."""

from amaranth.lib import enum

from niter import csr

__all__ = [
    "Command",
    "Derived",
    "Info",
    "Key",
    "KeyCommand",
    "Loaded",
    "Locked",
    "Slot",
    "Status",
    "Usage",
]


class KeyCommand(enum.Enum, shape=3):
    """What software asks for."""

    NONE = 0
    #: Empty the slot and take the words that follow in ``key`` into it.
    LOAD = 1
    #: The sixteen words are complete: the key may be used as ``storage`` and ``derive`` say.
    COMMIT = 2
    #: Fill the slot with a key derived from ``source`` and ``info``.
    DERIVE = 3
    #: No more changes to the slot, and no derivation from it, until reset.
    LOCK = 4
    #: Forget the slot's key.
    ZEROISE = 5
    #: Forget all keys, whatever goes on.
    ZEROISE_ALL = 6


class Slot(csr.Register, access="rw"):
    """The slot that commands are for."""

    index: csr.Field(csr.action.RW, 4)


class Key(csr.Register, access="w"):
    """Four bytes of the key that is being loaded, the first in bits 7:0; sixteen words."""

    data: csr.Field(csr.action.W, 32)


class Info(csr.Register, access="w"):
    """Four bytes of what a key is derived for, the first in bits 7:0; sixteen words."""

    data: csr.Field(csr.action.W, 32)


class Command(csr.Register, access="w"):
    """Does something to the slot."""

    code: csr.Field(csr.action.W, KeyCommand)
    storage: csr.Field(csr.action.W, 1, doc="COMMIT, DERIVE: the key encrypts storage.")
    derive: csr.Field(csr.action.W, 1, doc="COMMIT, DERIVE: keys may be derived from it.")
    source: csr.Field(csr.action.W, 4, doc="DERIVE: the slot to derive from.")
    disclose: csr.Field(
        csr.action.W,
        1,
        doc="COMMIT: software may read what is derived from it. DERIVE: show the key in "
        "``derived`` and leave the slot alone.",
    )


class Status(csr.Register, access="r"):
    """What goes on."""

    busy: csr.Field(csr.action.R, 1, doc="Every command but ZEROISE_ALL is refused.")
    refused: csr.Field(csr.action.R, 1, doc="The last command was not allowed; nothing was done.")
    tamper: csr.Field(csr.action.R, 1, doc="The tamper input is high: the store stays empty.")
    disclosed: csr.Field(csr.action.R, 1, doc="A word can be read from ``derived``.")


class Loaded(csr.Register, access="r"):
    """Slots that hold a key, and those that may disclose what is derived, a bit each."""

    slots: csr.Field(csr.action.R, 16)
    disclose: csr.Field(csr.action.R, 16)


class Locked(csr.Register, access="r"):
    """Slots that are locked, a bit each."""

    slots: csr.Field(csr.action.R, 16)


class Usage(csr.Register, access="r"):
    """What the keys may be used for, a bit for each slot."""

    storage: csr.Field(csr.action.R, 16)
    derive: csr.Field(csr.action.R, 16)


class Derived(csr.Register, access="r"):
    """The next four bytes of a disclosed key, the first in bits 7:0; zero unless ``disclosed``.

    All sixteen words must be read: until then the store and the hash engine are busy.
    """

    data: csr.Field(csr.action.R, 32)
