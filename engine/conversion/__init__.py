"""Networks in other forms: PyTorch to ONNX, FP32 to FP16 and INT8, and how far each is from the first."""
