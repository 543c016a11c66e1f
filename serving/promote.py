"""Lets a label name a version: ``python -m serving.promote --label stable --version 7 --config models.config``.

models.config is replaced in one step; servers that look at it follow, and those given with ``--server`` at once. The
version has to be there, complete, and, where a server is asked, loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from schema.installation import everything_for
from serving.promotion import command

if TYPE_CHECKING:
    from serving.promotion.history import Move
    from serving.promotion.moving import Request


@everything_for("python -m serving.promote")
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 moved, or it was there already; 2 refused, and nothing is changed."""
    parser = command.parser("python -m serving.promote", "Lets a label name a version.")
    parser.add_argument("--version", type=int, required=True, help="which the label is to name")
    options = parser.parse_args(arguments)
    command.check(parser, options)
    if options.version < 1:
        parser.error(f"argument --version: must be at least 1, found {options.version}")

    def move(request: Request) -> Move | None:
        from serving.promotion import moving

        return moving.promote(request, options.version)

    return command.run(options, move)


if __name__ == "__main__":
    raise SystemExit(main())
