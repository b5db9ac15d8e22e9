"""elastic.tensor: PyTorch's names and meanings, on our own stack."""
