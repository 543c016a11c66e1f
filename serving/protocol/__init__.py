"""Messages of TF Serving: arrays in them, limits on them, and the errors that answer them."""
