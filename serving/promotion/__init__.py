"""Which version a label names: moved in models.config, in running servers, and written down."""
