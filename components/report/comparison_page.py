"""The page of a comparison: the choice, two plots, the table. One HTML file that needs nothing else."""

from __future__ import annotations

from components.report.comparison_charts import chart_by_images, chart_by_seconds
from components.report.templating import templates
from components.trainer.comparison.summary import Summary, costs


def comparison_page(summary: Summary, name: str) -> str:
    """The page as text.

    Args:
      summary: what came of the trainings.
      name: of the pipeline.
    """
    forecasts = summary.forecasts()
    return (
        templates()
        .get_template("comparison.html")
        .render(
            summary=summary,
            name=name,
            costs=costs,
            forecasts=forecasts,
            by_images=chart_by_images(summary, forecasts),
            by_seconds=chart_by_seconds(summary),
        )
    )
