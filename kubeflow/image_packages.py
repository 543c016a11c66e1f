"""Which packages belong into the image. Run while the image is built, with nothing but the standard library.

The lock holds what development needs, too, so that there is one lock. ``--remove-unneeded PACKAGE[EXTRA] ...``
uninstalls every package that the dependencies of those do not lead to: linters, test tools, outside references of
tests. An extra that is not installed is no matter.
``--list-extra PACKAGE EXTRA`` prints the requirements of an extra of an installed package, for the GPU variant.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence

_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


def normalized(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(wanted: Iterable[str], requirements: Mapping[str, Iterable[str]]) -> set[str]:
    """Names of the distributions that ``wanted`` ones need, themselves included.

    Args:
      wanted: distributions, with the extras that are wanted of them (``tensorflow[and-cuda]``).
      requirements: normalised name -> its requirement lines, for all that are installed. Extras count where somebody
        asks for them; other markers are taken as true, which keeps a package too many rather than one too few.
    """
    found: set[tuple[str, str]] = set()
    waiting = [pair for line in wanted for pair in _asked(line)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found or name not in requirements:
            continue
        found.add((name, extra))
        for line in requirements[name]:
            of_extra = _EXTRA.search(line)
            if of_extra is None or normalized(of_extra[1]) == normalized(extra):
                waiting += _asked(line)
    return {name for name, _ in found}


def _asked(line: str) -> list[tuple[str, str]]:
    """Normalised name and extra ("" for none) of all that a requirement line asks for."""
    match = _REQUIREMENT.match(line)
    if match is None:
        return []
    extras = [part.strip() for part in (match[2] or "").split(",") if part.strip()]
    return [(normalized(match[1]), extra) for extra in ("", *extras)]


def extra_requirements(lines: Iterable[str], extra: str) -> list[str]:
    """The requirement lines of an extra, without their markers."""
    return [line.partition(";")[0].strip() for line in lines if (found := _EXTRA.search(line)) and found[1] == extra]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--remove-unneeded", nargs="+", metavar="PACKAGE[EXTRA]")
    action.add_argument("--list-extra", nargs=2, metavar=("PACKAGE", "EXTRA"))
    arguments = parser.parse_args(argv)
    if arguments.list_extra:
        package, extra = arguments.list_extra
        print("\n".join(extra_requirements(importlib.metadata.requires(package) or [], extra)))
        return 0
    requirements = {normalized(d.metadata["Name"]): d.requires or [] for d in importlib.metadata.distributions()}
    superfluous = sorted(set(requirements) - needed(arguments.remove_unneeded, requirements))
    print(f"removing {len(superfluous)} of {len(requirements)}: {', '.join(superfluous)}")
    if superfluous:
        subprocess.run([sys.executable, "-m", "pip", "uninstall", "--yes", "--quiet", *superfluous], check=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
