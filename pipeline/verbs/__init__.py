"""What a person can ask of the pipeline: ``python -m pipeline VERB``, a file each."""
