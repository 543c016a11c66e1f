"""Keeping what the last blessed model knew: it as a teacher, and losses that hold on to it (``transfer.keep``)."""
