"""The same TFX graph on Kubeflow Pipelines: one step a node, one metadata store, one root. See docs/kubeflow.md."""

from schema.installation import require_everything

require_everything(__name__)
