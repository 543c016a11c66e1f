"""What asking a server raises, whichever way it is asked."""

from __future__ import annotations


class ServerError(Exception):
    """No usable answer came; the message says what the server or the network said."""


class ImageRefusedError(ServerError):
    """The server works and refused this image (or request); another may be fine."""


class AwayError(ServerError):
    """No server answers, it is being replaced, or it has too much to do: in a moment the same may be answered."""


class MessageError(Exception):
    """An answer that is not what it ought to be."""
