"""TF Serving's configuration: text protos, a compose file, and what makes its TLS file. docs/serving.md explains it."""
