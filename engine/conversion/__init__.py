"""Networks in other forms: PyTorch to ONNX, FP32 to FP16 and INT8; how far each is from the first; into a bundle."""
