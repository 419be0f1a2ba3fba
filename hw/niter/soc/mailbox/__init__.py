"""The mailbox between engines and CPU: messages with a quota, and the copier."""

from .mailbox import Mailbox

__all__ = ["Mailbox"]
