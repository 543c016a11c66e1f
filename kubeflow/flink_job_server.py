"""Puts Beam's job server for Flink into the image: ``python flink_job_server.py VERSION FILE``, run while it is built.

The jar is the one that the installed Beam would download when a step runs, asked for in Beam's own way; so jar and Beam
are of one version, and a step needs no way out of the cluster. Imports Beam alone: it is run from a folder of its own.
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
import sys
from collections.abc import Sequence

from apache_beam.options.pipeline_options import FlinkRunnerOptions
from apache_beam.utils.subprocess_server import JavaJarServer


def fetch_job_server(flink_version: str, output: pathlib.Path) -> None:
    """Writes the jar.

    Raises:
      ValueError: this Beam has no job server for that version of Flink.
      OSError: it could not be fetched or written.
    """
    known = FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    if flink_version not in known:
        raise ValueError(f"FLINK_VERSION {flink_version!r}: this Beam has job servers for {', '.join(known)}")
    jar = JavaJarServer.path_to_beam_jar(f":runners:flink:{flink_version}:job-server:shadowJar")
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(JavaJarServer.local_jar(jar), output)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 written, 1 not to be had."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flink_version", help="such as 1.19")
    parser.add_argument("output", type=pathlib.Path)
    arguments = parser.parse_args(argv)
    try:
        fetch_job_server(arguments.flink_version, arguments.output)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
