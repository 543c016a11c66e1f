"""The MySQL server behind ML Metadata, from inside a step: found by environment, waited for, locked where needed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pymysql
from ml_metadata.proto import metadata_store_pb2

from kubeflow.server_version import LEAST_VERSION, version_text

HOST_VARIABLE: Final = "METADATA_STORE_HOST"
PORT_VARIABLE: Final = "METADATA_STORE_PORT"
DATABASE_VARIABLE: Final = "METADATA_STORE_DATABASE"
USER_VARIABLE: Final = "METADATA_STORE_USER"
PASSWORD_VARIABLE: Final = "METADATA_STORE_PASSWORD"  # noqa: S105 - the name of a variable
SSL_CA_VARIABLE: Final = "METADATA_STORE_SSL_CA"

_CONNECT_SECONDS: Final = 10
_FIRST_WAIT_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 15.0
_RETRIES_ON_ABORT: Final = 10
_ACCESS_DENIED: Final = (1044, 1045, 1698, 1142, 1227)
"""Server errors that waiting does not cure: the user, the password or the rights are wrong."""


class UnreachableError(RuntimeError):
    """Something outside of the step that it cannot work without; the message is complete."""


@dataclasses.dataclass(frozen=True)
class StoreAddress:
    """Where ML Metadata is.

    Attributes:
      host, port, database: of the server.
      user, password: never printed.
      ssl_ca: file with the certificate authority; None for a connection without TLS.
    """

    host: str
    port: int
    database: str
    user: str
    password: str = dataclasses.field(repr=False)
    ssl_ca: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> StoreAddress:
        """Reads the variables that the compiled pipeline sets.

        Raises:
          UnreachableError: one is missing or the port is no number.
        """
        needed = (HOST_VARIABLE, DATABASE_VARIABLE, USER_VARIABLE, PASSWORD_VARIABLE)
        missing = [name for name in needed if name not in environment]
        if missing:
            raise UnreachableError(
                f"environment: {', '.join(missing)} not set; expected from the Secret and the settings in "
                "cluster.metadata_store, check that the Secret has the keys named there"
            )
        port = environment.get(PORT_VARIABLE, "3306")
        if not port.isdecimal():
            raise UnreachableError(f"environment: {PORT_VARIABLE} is {port!r}, expected a port number")
        return cls(
            host=environment[HOST_VARIABLE],
            port=int(port),
            database=environment[DATABASE_VARIABLE],
            user=environment[USER_VARIABLE],
            password=environment[PASSWORD_VARIABLE],
            ssl_ca=environment.get(SSL_CA_VARIABLE) or None,
        )

    def __str__(self) -> str:
        return f"mysql://{self.user}@{self.host}:{self.port}/{self.database}"

    def connection_config(self) -> metadata_store_pb2.ConnectionConfig:
        """The address as ML Metadata takes it, with retries of transactions that the server broke off."""
        config = metadata_store_pb2.ConnectionConfig()
        config.mysql.host = self.host
        config.mysql.port = self.port
        config.mysql.database = self.database
        config.mysql.user = self.user
        config.mysql.password = self.password
        if self.ssl_ca:
            config.mysql.ssl_options.ca = self.ssl_ca
            config.mysql.ssl_options.verify_server_cert = True
        config.retry_options.max_num_retries = _RETRIES_ON_ABORT
        return config

    def connect(self) -> pymysql.connections.Connection:
        """One connection to the server, without choosing the database (it may not be there yet)."""
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            connect_timeout=_CONNECT_SECONDS,
            ssl={"ca": self.ssl_ca} if self.ssl_ca else None,
        )


def retry_until(
    attempt: Callable[[], None], describe: str, limit_seconds: float, hopeless: Callable[[Exception], bool]
) -> None:
    """Repeats ``attempt`` with growing waits until it raises nothing.

    Raises:
      UnreachableError: the time is over, or the error is one that waiting does not cure.
    """
    started, wait, attempts = time.monotonic(), _FIRST_WAIT_SECONDS, 0
    while True:
        attempts += 1
        try:
            attempt()
        except (OSError, pymysql.MySQLError) as error:
            spent = time.monotonic() - started
            if hopeless(error) or spent + wait > limit_seconds:
                raise UnreachableError(f"{describe}: {error} (attempt {attempts}, after {spent:.0f} s)") from error
            print(f"{describe}: {error}; next attempt in {wait:.0f} s", file=sys.stderr, flush=True)
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
        else:
            return


def wait_for_store(address: StoreAddress, limit_seconds: float) -> None:
    """Returns once the server lets us in.

    Raises:
      UnreachableError: it does not within the time, or refuses user, password or rights.
    """

    def attempt() -> None:
        address.connect().close()

    def hopeless(error: Exception) -> bool:
        return bool(error.args) and error.args[0] in _ACCESS_DENIED

    try:
        retry_until(attempt, f"metadata store {address}", limit_seconds, hopeless)
    except UnreachableError as error:
        raise UnreachableError(
            f"{error}. Check that the server runs, that the NetworkPolicy lets this pod reach it (it goes by labels, "
            f"which Kubeflow Pipelines before {version_text(LEAST_VERSION)} may not give to pods), and that the Secret "
            "in cluster.metadata_store.secret holds its user and password"
        ) from error


@contextlib.contextmanager
def store_lock(address: StoreAddress, limit_seconds: float) -> Iterator[None]:
    """Holds a lock on the server: steps that start together would otherwise create the same tables and types.

    The server gives it back by itself when the process dies.

    Raises:
      UnreachableError: another process held it all the time.
    """
    name = f"tfx:{address.database}"[:64]
    connection = address.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, %s)", (name, int(limit_seconds)))
            row = cursor.fetchone()
            if row is None or row[0] != 1:
                raise UnreachableError(
                    f"metadata store {address}: the lock {name!r} was held by another step for {limit_seconds:.0f} s; "
                    "SHOW PROCESSLIST on the server tells which connection has it"
                )
        yield
    finally:
        connection.close()
