"""What opening and running a device model raises."""

from __future__ import annotations


class DeviceModelError(Exception):
    """A device model that cannot be used; the message names the file, what was found and what to do."""
