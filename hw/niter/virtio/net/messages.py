"""What the control queue and the firmware say to each other through the mailbox.

From the control queue to the firmware (``niter.interface.mailbox``, requests): the command as the
driver gave it, class, command and data (virtio 1.2, 5.1.6.5), or its first 64 bytes. The tag counts
a function's commands.

From the firmware: a reply of any kind with that tag, whose first byte is the answer; bit 0 of it
counts.
"""

from amaranth.lib import enum

__all__ = ["COMMAND_BYTES", "CommandKind"]

#: What a message has of a command, at most.
COMMAND_BYTES = 64


class CommandKind(enum.IntEnum, shape=8):
    """What a message is."""

    #: All of a command.
    WHOLE = 0
    #: The command goes on.
    CUT = 1
