"""What ends a bulk run; a damaged image does not."""

from __future__ import annotations


class BulkError(Exception):
    """The run cannot begin, or cannot go on; the message says what was found and what to do."""
