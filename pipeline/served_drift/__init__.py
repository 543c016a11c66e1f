"""Is what a model is asked still what it was trained on? Read from a server's log of requests, without labels."""
