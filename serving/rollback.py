"""Lets a label name what it named before: ``python -m serving.rollback --label stable --config models.config``.

The history beside models.config says which version that was; it is still in memory. Once more goes back further.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from schema.installation import everything_for
from serving.promotion import command

if TYPE_CHECKING:
    from serving.promotion.history import Move
    from serving.promotion.moving import Request


@everything_for("python -m serving.rollback")
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 moved; 2 refused, and nothing is changed."""
    parser = command.parser("python -m serving.rollback", "Lets a label name what it named before its last promotion.")
    options = parser.parse_args(arguments)
    command.check(parser, options)

    def move(request: Request) -> Move | None:
        from serving.promotion import moving

        return moving.rollback(request)

    return command.run(options, move)


if __name__ == "__main__":
    raise SystemExit(main())
