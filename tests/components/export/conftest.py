"""The trainer's records and small detector."""

from tests.components.trainer.conftest import make_detector, make_record, make_square

__all__ = ["make_detector", "make_record", "make_square"]
