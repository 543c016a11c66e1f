"""One run as one HTML page that needs nothing else: no script, no network, no notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from components.evaluator.verdict import OVERALL, Verdict
from components.findings import KINDS
from components.report.charts import bar_rows, line_chart
from components.report.example_images import SCORE_SHOWN, ExampleImage, image_figure
from components.report.page_style import STYLE
from components.report.summary import RunSummary, in_split_order, slices_by_columns
from components.validation.report_file import AnnotationReport, SplitFacts

_MOST_FINDINGS: Final = 100
_MOST_BARS: Final = 40
_HEADLINES: Final = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")
_STATE_CLASSES: Final = {"ran": "", "cached": "soft", "failed": "bad", "unfinished": "mild"}
_STATUS_CLASSES: Final = {"passed": "good", "warned": "mild", "failed": "bad"}


def render_page(summary: RunSummary, images: Sequence[ExampleImage] = ()) -> str:
    """The page; parts that the run did not get to are left out."""
    title = f"{summary.record.pipeline_name} {summary.record.run_id}"
    sections = [
        *_header(summary),
        *_evaluation(summary.verdict),
        *_images(images),
        *_training(summary),
        *_data(summary),
        *_annotations(summary.annotations),
        *_findings(summary),
        *_nodes(summary),
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(section for section in sections if section)
        + "\n</body></html>\n"
    )


def _header(summary: RunSummary) -> Iterator[str]:
    yield f"<h1>{html.escape(summary.record.pipeline_name)}</h1>"
    yield f"<p class='soft'>run {html.escape(summary.record.run_id)}</p>"
    if summary.failed:
        what = "".join(f"<p>{html.escape(node.error)}</p>" for node in summary.failed if node.error)
        names = html.escape(", ".join(node.node for node in summary.failed))
        yield f"<div class='verdict bad-edge'><strong class='bad'>Failed: {names}</strong>{what}</div>"
    verdict = summary.verdict
    if verdict is not None:
        edge, word = ("good", "Blessed") if verdict.blessed else ("bad", "Not blessed")
        first, *others = verdict.lines()
        shown = [first, *others] if verdict.blessed else others
        details = "".join(f"<p>{html.escape(line.strip())}</p>" for line in shown)
        pushed = f"<p>Pushed to <code>{html.escape(summary.pushed_to)}</code></p>" if summary.pushed_to else ""
        serve = f"<p>Serve with <code>{html.escape(summary.serve_command)}</code></p>" if summary.serve_command else ""
        yield f"<div class='verdict {edge}-edge'><strong class='{edge}'>{word}</strong>{details}{pushed}{serve}</div>"
    yield f"<div class='tiles'>{''.join(_tiles(summary))}</div>"


def _tiles(summary: RunSummary) -> Iterator[str]:
    tiles: list[tuple[str, str]] = []
    if summary.verdict is not None and OVERALL in summary.verdict.metrics:
        overall = summary.verdict.metrics[OVERALL]
        tiles += [(name, _number(overall.get(name))) for name in ("AP", "AP50")]
    if summary.input is not None:
        tiles += [
            (f"{split} images", str(summary.input.images[split])) for split in in_split_order(summary.input.images)
        ]
        tiles.append(("findings", str(sum(summary.input.findings.values()))))
    if summary.annotations is not None:
        tiles.append(("annotation warnings", str(len(summary.annotations.with_status("warned")))))
    if summary.anomalies is not None:
        tiles.append(("anomalies", str(len(summary.anomalies))))
    tiles.append(("node time", f"{sum(node.seconds for node in summary.record.nodes):.0f} s"))
    for name, value in tiles:
        yield f"<div class='tile'><b>{html.escape(value)}</b><span>{html.escape(name)}</span></div>"


def _evaluation(verdict: Verdict | None) -> Iterator[str]:
    if verdict is None or OVERALL not in verdict.metrics:
        return
    overall, before = verdict.metrics[OVERALL], verdict.baseline_metrics.get(OVERALL, {})
    yield "<h2>Evaluation</h2><div class='columns'>"
    rows = [
        (name, overall.get(name, math.nan), _number(overall.get(name)) + _change(overall.get(name), before.get(name)))
        for name in _HEADLINES
    ]
    compared = ", in brackets the change against the last blessed model" if before else ""
    yield f"<div><h3>All images{compared}</h3>{bar_rows(rows, full=1.0)}</div>"
    classes = [(name, *_class_metrics(overall, name)) for name in sorted(_classes(overall))]
    classes.sort(key=lambda row: (math.isnan(row[1]), row[1]))
    bars = [(name, ap, f"{_number(ap)} / {_number(ap50)}") for name, ap, ap50 in classes[:_MOST_BARS]]
    if bars:
        yield f"<div><h3>By class, lowest AP first (AP / AP50)</h3>{bar_rows(bars, full=1.0)}{_more(classes)}</div>"
    for columns, slices in slices_by_columns(verdict).items():
        if columns == "class":  # images that show a class: the bars by class say more
            continue
        entries = [
            (
                value,
                metrics.get("AP", math.nan),
                f"{_number(metrics.get('AP'))} / {_number(metrics.get('AP50'))} ({metrics.get('image_count', 0):.0f})",
            )
            for value, metrics in slices.items()
        ]
        heading = f"By {columns} (AP / AP50, images)"
        yield f"<div><h3>{html.escape(heading)}</h3>{bar_rows(entries[:_MOST_BARS], full=1.0)}{_more(entries)}</div>"
    yield "</div>"


def _classes(overall: Mapping[str, float]) -> set[str]:
    return {key.removeprefix("AP/") for key in overall if key.startswith("AP/")}


def _class_metrics(overall: Mapping[str, float], name: str) -> tuple[float, float]:
    return overall[f"AP/{name}"], overall.get(f"AP50/{name}", math.nan)


def _more(rows: Sequence[object]) -> str:
    return f"<p class='soft'>and {len(rows) - _MOST_BARS} more</p>" if len(rows) > _MOST_BARS else ""


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _change(value: float | None, before: float | None) -> str:
    if value is None or before is None or math.isnan(value) or math.isnan(before):
        return ""
    return f" ({value - before:+.3f})"


def _images(images: Sequence[ExampleImage]) -> Iterator[str]:
    if images:
        figures = "".join(image_figure(image) for image in images)
        yield (
            "<h2>Images</h2><p class='soft'>White and dashed: what is there. Coloured: what the model finds with a "
            f"score of at least {SCORE_SHOWN:g}.</p><div class='images'>{figures}</div>"
        )


def _training(summary: RunSummary) -> Iterator[str]:
    losses: dict[str, list[tuple[float, float]]] = {}
    metrics: dict[str, list[tuple[float, float]]] = {}
    for entry in summary.history:
        for name, value in entry.get("losses", {}).items():
            losses.setdefault(name, []).append((entry["step"], value))
        for name in ("AP", "AP50"):
            if entry.get(name) is not None:
                metrics.setdefault(name, []).append((entry["step"], entry[name]))
    charts = []
    if losses:
        # Losses start high for a moment; the scale is that of the rest.
        values = sorted(value for points in losses.values() for _, value in points if math.isfinite(value))
        top = values[int(0.99 * (len(values) - 1))] if values else 1.0
        charts.append(f"<div><h3>Losses</h3>{line_chart(losses, x_label='steps', y_max=top or 1.0)}</div>")
    if metrics:
        charts.append(f"<div><h3>On the eval split</h3>{line_chart(metrics, x_label='steps', y_max=1.0)}</div>")
    if charts:
        yield f"<h2>Training</h2><div class='columns'>{''.join(charts)}</div>"


def _data(summary: RunSummary) -> Iterator[str]:
    report = summary.annotations
    if report is None or not report.splits:
        return
    yield "<h2>Data</h2><div class='columns'>"
    for split in in_split_order(report.splits):
        facts = report.splits[split]
        most = max(facts.class_counts.values(), default=1)
        ordered = sorted(facts.class_counts.items(), key=lambda item: -item[1])
        bars = [(name, float(count), str(count)) for name, count in ordered]
        yield (
            f"<div><h3>{html.escape(split)}: {facts.images} images, {facts.objects} objects, "
            f"{facts.images_without_objects} images without</h3>{bar_rows(bars[:_MOST_BARS], full=most)}{_more(bars)}"
            f"{_quantiles(facts)}</div>"
        )
    yield "</div>"


def _quantiles(facts: SplitFacts) -> str:
    if not facts.box_side_pixels:
        return ""
    shown = [index for index, level in enumerate(facts.quantile_levels) if level in (0.01, 0.05, 0.5, 0.95, 0.99)]
    head = "".join(f"<th class='number'>{facts.quantile_levels[index]:.0%}</th>" for index in shown)
    rows = "".join(
        f"<tr><th>{name}</th>" + "".join(f"<td class='number'>{values[i]:{style}}</td>" for i in shown) + "</tr>"
        for name, values, style in (
            ("shorter side, px", facts.box_side_pixels, ".0f"),
            ("size of image", facts.box_relative_size, ".1%"),
            ("width / height", facts.box_aspect_ratio, ".2f"),
        )
    )
    return f"<table><thead><tr><th>boxes, quantiles</th>{head}</tr></thead>{rows}</table>"


def _annotations(report: AnnotationReport | None) -> Iterator[str]:
    if report is None:
        return
    order = ("failed", "warned", "passed")
    rows = "".join(
        f"<tr><td class='{_STATUS_CLASSES[check.status]}'>{check.status}</td><td>{html.escape(check.check)}</td>"
        f"<td>{html.escape(check.split)}</td><td>{html.escape(check.found)}{_files(check.files, check.status)}</td>"
        f"<td class='soft'>{html.escape(check.limit)}</td></tr>"
        for check in sorted(report.checks, key=lambda check: order.index(check.status))
    )
    yield f"<h2>Annotation checks</h2>{_table(('', 'check', 'split', 'found', 'limit'), rows)}"
    distances = "".join(
        f"<tr><td class='{'bad' if distance.value > distance.threshold else 'good'}'>{distance.value:.3f}</td>"
        f"<td>{distance.threshold:g}</td><td>{html.escape(distance.kind)} ({html.escape(distance.split)})</td>"
        f"<td><code>{html.escape(distance.feature)}</code></td>"
        f"<td class='soft'>{html.escape(distance.measure)}</td></tr>"
        for distance in sorted(report.distances, key=lambda distance: distance.threshold - distance.value)
    )
    if distances:
        yield f"<h2>Skew and drift</h2>{_table(('distance', 'limit', 'between', 'feature', 'measure'), distances)}"


def _files(files: Sequence[str], status: str) -> str:
    if not files or status == "passed":
        return ""
    return "<br>" + "<br>".join(f"<code>{html.escape(file)}</code>" for file in files)


def _findings(summary: RunSummary) -> Iterator[str]:
    if summary.anomalies:
        rows = "".join(
            f"<tr><td>{html.escape(anomaly.split)}</td><td><code>{html.escape(anomaly.feature)}</code></td>"
            f"<td>{html.escape(anomaly.found)}</td></tr>"
            for anomaly in summary.anomalies
        )
        yield f"<h2>Anomalies</h2>{_table(('split', 'feature', 'found'), rows)}"
    if not summary.findings:
        return
    rows = "".join(
        f"<tr><td title='{html.escape(KINDS[finding.kind].meaning, quote=True)}'>{html.escape(finding.kind)}</td>"
        f"<td>{html.escape(finding.treatment)}</td><td><code>{html.escape(finding.file)}</code> "
        f"{html.escape(finding.where)}</td><td>{html.escape(finding.found)}</td></tr>"
        for finding in summary.findings[:_MOST_FINDINGS]
    )
    left = len(summary.findings) - _MOST_FINDINGS
    more = (
        f"<p class='soft'>and {left} more in <code>{html.escape(summary.findings_file or '')}</code></p>"
        if left > 0
        else ""
    )
    yield f"<h2>Findings in the input</h2>{_table(('kind', 'treatment', 'where', 'found'), rows)}{more}"


def _nodes(summary: RunSummary) -> Iterator[str]:
    rows = "".join(
        f"<tr><td>{html.escape(node.node)}</td><td class='{_STATE_CLASSES[node.state]}'>{node.state}</td>"
        f"<td class='number'>{node.seconds:.1f} s</td>"
        f"<td>{'<br>'.join(f'<code>{html.escape(output.uri)}</code>' for output in node.outputs.values())}</td></tr>"
        for node in summary.record.nodes
    )
    yield f"<h2>Nodes</h2>{_table(('node', 'state', 'time', 'artifacts'), rows)}"


def _table(columns: Sequence[str], rows: str) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    return f"<table><thead><tr>{head}</tr></thead>{rows}</table>"
