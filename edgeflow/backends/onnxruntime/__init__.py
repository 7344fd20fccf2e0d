"""The onnxruntime backend: ONNX files for boards that run ONNX Runtime."""
