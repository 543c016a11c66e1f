"""A page to try a served model on: pictures and the camera in a browser, boxes drawn over them. No TensorFlow."""
