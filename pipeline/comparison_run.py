"""``python -m pipeline compare`` behind its arguments: records, trainings, table, files and page."""

from __future__ import annotations

import pathlib

from components.atomic_files import write_atomically
from components.report.comparison_page import comparison_page
from components.split_names import UNLABELLED
from components.trainer.comparison.comparison import Comparison, TrainingSet
from components.trainer.comparison.subsets import write_subsets
from components.trainer.comparison.summary import Summary
from components.user_error import UserError
from pipeline.comparison_plan import Plan, sizes_of
from pipeline.config import PipelineConfig
from pipeline.prepared_records import PreparedRecords, prepare_records


def compare(config: PipelineConfig, plan: Plan, output: pathlib.Path) -> Summary:
    """Runs what is not known yet, and writes ``comparison.{csv,json,html}`` after every training.

    Args:
      config: of the pipeline; rungs change it.
      plan: what is compared.
      output: folder for results and page; a later call finds them.

    Raises:
      UserError: the data cannot be used, or have too few images for every size.
    """
    prepared = prepare_records(config)
    base = prepared.training(config)
    comparison = Comparison(
        base,
        training_sets(plan, prepared, output),
        plan.rungs,
        output / "trainings",
        steps=plan.steps or base.steps,
        seconds=plan.seconds,
        target_files=prepared.files(UNLABELLED) if UNLABELLED in prepared.images else (),
        say=lambda line: print(line, flush=True),
    )
    summary = Summary((), comparison.skipped(), prepared.judged_split, _terms(comparison))
    for row in comparison.rows():
        summary = Summary((*summary.rows, row), summary.skipped, summary.judged_split, summary.terms)
        _write(summary, config, output)
    print("\n".join(["", summary.table(), "", *summary.remarks()]), flush=True)
    print(f"Page: {output / 'comparison.html'}", flush=True)
    return summary


def training_sets(plan: Plan, prepared: PreparedRecords, output: pathlib.Path) -> list[TrainingSet]:
    """Every size and seed; all images are the records as they are.

    Raises:
      UserError: every size is more than there are images.
    """
    everything = prepared.images["train"]
    try:
        sizes = sizes_of(plan.sizes, everything)
    except ValueError as error:
        raise UserError(str(error)) from error
    smaller = [images for images, _ in sizes if images < everything]
    seeds = max(seeds for _, seeds in sizes)
    # Other data have another folder: TFX numbers it by the execution that made it.
    folder = output / "subsets" / prepared.examples.name
    folders = write_subsets(prepared.files("train"), smaller, seeds, folder) if smaller else {}
    return [
        TrainingSet(
            images,
            seed,
            prepared.files("train") if images == everything else (f"{folders[seed, images]}/Split-train/*",),
        )
        for images, of_size in sizes
        for seed in range(of_size)
    ]


def _terms(comparison: Comparison) -> str:
    if comparison.seconds is not None:
        return f"Every training was given {comparison.seconds:.0f} s, from its start weights to its export."
    return f"Every training has {comparison.steps} steps."


def _write(summary: Summary, config: PipelineConfig, output: pathlib.Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    files = {"csv": summary.csv(), "json": summary.json(), "html": comparison_page(summary, config.name)}
    for suffix, text in files.items():
        write_atomically(str(output / f"comparison.{suffix}"), text.encode("utf-8", "backslashreplace"))
