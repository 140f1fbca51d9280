"""NVIDIA GPUs: engines built by TensorRT, kept, and run with frames prepared there."""
