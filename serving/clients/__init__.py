"""A client: what is sent, what comes back, and how it is shown. It imports no TensorFlow and nothing of the server."""
