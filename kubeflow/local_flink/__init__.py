"""A Flink cluster on this machine, to try a config's Beam settings on: `python -m kubeflow.local_flink`."""
