"""Methods that save with PyTorch's own functions."""
