"""Schedules: ``python -m kubeflow.schedule create|list|pause|resume|delete|trigger``.

Kubeflow cannot change a recurring run and lets two have the same name. ``create`` therefore leaves one that is already
as wanted alone, and replaces one that is not: first the new one, then the old one goes.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import itertools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from kubeflow import client as kfp_client
from kubeflow.client import ClusterError, UploadedVersion
from kubeflow.cron import CronError, parse_cron
from kubeflow.submit import add_run_arguments, checked_parameters, cluster_settings
from pipeline.cluster_settings import ScheduleSettings
from pipeline.config_errors import ConfigError

if TYPE_CHECKING:
    import kfp

_SHOWN_TIMES: Final = 3
_MAX_CONCURRENCY: Final = 10
_ENABLED: Final = "ENABLED"


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A schedule as it is wanted.

    Attributes:
      name: shown in Kubeflow; one of that name is kept.
      settings: when, and how many at once.
      parameters: of every run.
      service_account: of the steps.
    """

    name: str
    settings: ScheduleSettings
    parameters: dict[str, object]
    service_account: str | None

    def __post_init__(self) -> None:
        """Checks what the server would refuse, or take and never run.

        Raises:
          ClusterError: the message says what.
        """
        if (self.settings.cron is None) == (self.settings.interval_seconds is None):
            raise ClusterError(f"schedule {self.name!r}: give a cron expression or an interval, exactly one of them")
        if not 1 <= self.settings.max_concurrency <= _MAX_CONCURRENCY:
            raise ClusterError(
                f"schedule {self.name!r}: max_concurrency {self.settings.max_concurrency}, expected 1 to 10"
            )
        if self.settings.cron is not None:
            try:
                missed = parse_cron(self.settings.cron).first_missed(_now())
            except CronError as error:
                raise ClusterError(f"schedule {self.name!r}: {error}") from error
            if missed is not None:
                raise ClusterError(
                    f"schedule {self.name!r}: cron {self.settings.cron!r} comes true on {missed:%Y-%m-%d} next; "
                    "Kubeflow looks five years ahead and takes what it does not find for a time that was missed"
                )

    @property
    def cron(self) -> str | None:
        """The cron expression with six fields."""
        return parse_cron(self.settings.cron).text if self.settings.cron is not None else None

    def describe(self) -> str:
        """When it runs, in words."""
        if self.cron is None:
            return f"every {self.settings.interval_seconds} s"
        times = ", ".join(
            f"{t:%Y-%m-%d %H:%M:%S}" for t in itertools.islice(parse_cron(self.cron).times(_now()), _SHOWN_TIMES)
        )
        return f"cron {self.cron} in the cluster's time zone ({self.settings.time_zone}); next: {times}"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def create(client: kfp.Client, schedule: Schedule, version: UploadedVersion, experiment_id: str) -> tuple[str, bool]:
    """Makes the schedule what it should be.

    Returns:
      Its id, and whether it was made anew.
    """
    existing = kfp_client.recurring_runs(client, schedule.name, experiment_id)
    same = [run for run in existing if _is_as_wanted(run, schedule, version)]
    if same:
        kept, made = str(same[0].recurring_run_id), False
    else:
        run = client.create_recurring_run(
            experiment_id=experiment_id,
            job_name=schedule.name,
            description=schedule.describe().partition("; next")[0],
            cron_expression=schedule.cron,
            interval_second=schedule.settings.interval_seconds,
            max_concurrency=schedule.settings.max_concurrency,
            no_catchup=not schedule.settings.catch_up,
            params=schedule.parameters,
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
            enabled=True,
            service_account=schedule.service_account,
        )
        kept, made = str(run.recurring_run_id), True
    for run in existing:
        if run.recurring_run_id != kept:
            client.delete_recurring_run(run.recurring_run_id)
    return kept, made


def _is_as_wanted(run: Any, schedule: Schedule, version: UploadedVersion) -> bool:
    """Whether a schedule on the server does what this one asks for. A paused one does not."""
    trigger = run.trigger
    cron = trigger.cron_schedule.cron if trigger and trigger.cron_schedule else None
    interval = trigger.periodic_schedule.interval_second if trigger and trigger.periodic_schedule else None
    reference = run.pipeline_version_reference
    return (
        cron == schedule.cron
        and (int(interval) if interval is not None else None) == schedule.settings.interval_seconds
        and int(run.max_concurrency or 0) == schedule.settings.max_concurrency
        and bool(run.no_catchup) == (not schedule.settings.catch_up)
        and reference is not None
        and reference.pipeline_version_id == version.version_id
        and dict(run.runtime_config.parameters or {}) == schedule.parameters
        and run.service_account == schedule.service_account
        and run.status == _ENABLED
    )


def find(client: kfp.Client, name: str, experiment_id: str) -> Any:
    """The schedule of that name.

    Raises:
      ClusterError: there is none, or more than one.
    """
    found = kfp_client.recurring_runs(client, name, experiment_id)
    if not found:
        raise ClusterError(f"schedule {name!r}: there is none in this experiment; `list` shows what there is")
    if len(found) > 1:
        raise ClusterError(f"schedule {name!r}: there are {len(found)}; `create` again leaves one")
    return found[0]


def trigger(client: kfp.Client, name: str, experiment_id: str) -> str:
    """Starts a run now, exactly as the schedule would; returns its id."""
    run = find(client, name, experiment_id)
    started = client.run_pipeline(
        experiment_id=experiment_id,
        job_name=f"{name} triggered {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC",
        pipeline_id=run.pipeline_version_reference.pipeline_id,
        version_id=run.pipeline_version_reference.pipeline_version_id,
        params=dict(run.runtime_config.parameters or {}),
        service_account=run.service_account,
    )
    return str(started.run_id)


def _show(run: Any) -> str:
    when = "?"
    if run.trigger and run.trigger.cron_schedule:
        when = f"cron {run.trigger.cron_schedule.cron}"
    elif run.trigger and run.trigger.periodic_schedule:
        when = f"every {run.trigger.periodic_schedule.interval_second} s"
    return f"{run.display_name}\t{run.status}\t{when}\tat most {run.max_concurrency} at once\t{run.recurring_run_id}"


def _create_from(arguments: argparse.Namespace, client: kfp.Client, experiment_id: str) -> str:
    cluster = cluster_settings(arguments)
    chosen = {
        key: value
        for key, value in vars(arguments).items()
        if key in ("cron", "interval_seconds", "max_concurrency", "catch_up", "time_zone") and value is not None
    }
    if chosen.keys() & {"cron", "interval_seconds"}:
        chosen = {"cron": None, "interval_seconds": None, **chosen}
    schedule = Schedule(
        name=arguments.name or kfp_client.package_name(arguments.package),
        settings=cluster.schedule.model_copy(update=chosen),
        parameters=checked_parameters(arguments),
        service_account=cluster.service_account,
    )
    version = kfp_client.upload(client, arguments.package, cluster.namespace)
    schedule_id, made = create(client, schedule, version, experiment_id)
    return f"schedule {schedule.name} {'created' if made else 'unchanged'} ({schedule_id}): {schedule.describe()}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kubeflow.schedule", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("create", help="create a schedule, or make the one of that name what it should be")
    add_run_arguments(make)
    make.add_argument("--name", help="default: the pipeline's name")
    make.add_argument("--cron", help="five or six fields")
    make.add_argument("--interval-seconds", type=int)
    make.add_argument("--max-concurrency", type=int)
    make.add_argument("--catch-up", action="store_true", default=None)
    make.add_argument("--time-zone", help="the zone the cluster reads cron in; only said, not converted")
    for command, text in (
        ("list", "list the schedules of an experiment"),
        ("pause", "start no runs until resumed"),
        ("resume", "go on"),
        ("delete", "delete the schedule; its runs stay"),
        ("trigger", "start a run now, as the schedule would"),
    ):
        other = commands.add_parser(command, help=text)
        other.add_argument("--experiment", required=True)
        if command != "list":
            other.add_argument("--name", required=True)
    for command_parser in commands.choices.values():
        kfp_client.add_client_arguments(command_parser)
    return parser


def _act(arguments: argparse.Namespace) -> list[str]:
    """Does what the command line says; returns what to print."""
    experiment, namespace = arguments.experiment, arguments.namespace
    if arguments.command == "create":
        # Refuses before a connection is made.
        checked_parameters(arguments)
        cluster = cluster_settings(arguments)
        experiment, namespace = cluster.experiment, cluster.namespace
    client = kfp_client.connect(arguments)
    with kfp_client.api_errors():
        experiment_id = str(client.create_experiment(experiment, namespace=namespace).experiment_id)
        match arguments.command:
            case "create":
                return [_create_from(arguments, client, experiment_id)]
            case "list":
                return [_show(run) for run in kfp_client.all_recurring_runs(client, experiment_id)]
            case "pause":
                client.disable_recurring_run(find(client, arguments.name, experiment_id).recurring_run_id)
            case "resume":
                client.enable_recurring_run(find(client, arguments.name, experiment_id).recurring_run_id)
            case "delete":
                client.delete_recurring_run(find(client, arguments.name, experiment_id).recurring_run_id)
            case "trigger":
                return [f"run {trigger(client, arguments.name, experiment_id)} started"]
        return [f"schedule {arguments.name}: {arguments.command} done"]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 done, 2 refused."""
    arguments = _parser().parse_args(argv)
    try:
        print("\n".join(_act(arguments)))
    except (ClusterError, ConfigError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
