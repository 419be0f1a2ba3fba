"""What a driver asks by the control queue, and what that and the firmware say to each other.

The two speak through the mailbox. From the control queue to the firmware
(``niter.interface.mailbox``, requests): the command as the driver gave it, class, command and data
(virtio 1.2, 5.1.6.5), or its first 64 bytes. The tag counts a function's commands.

From the firmware: a reply of any kind with that tag, whose first byte is the answer; bit 0 of it
counts.
"""

from amaranth.lib import data, enum

__all__ = ["COMMAND_BYTES", "PAIRS_BYTES", "Answer", "CommandKind", "PairsCommand"]

#: Of ``PairsCommand``.
PAIRS_BYTES = 4
#: What a message has of a command, at most.
COMMAND_BYTES = 64


class CommandKind(enum.IntEnum, shape=8):
    """What a message is."""

    #: All of a command.
    WHOLE = 0
    #: The command goes on.
    CUT = 1


class PairsCommand(data.Struct):
    """``struct virtio_net_ctrl`` with the data of VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET."""

    kind: 8
    command: 8
    pairs: 16


class Answer(enum.IntEnum, shape=8):
    """What a command is answered with."""

    OK = 0
    ERR = 1
