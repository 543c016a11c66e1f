"""What runs a device model, without TensorFlow: LiteRT, ONNX Runtime or OpenVINO, whichever its format is for."""
