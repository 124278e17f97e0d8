"""The safetensors format, and the methods that save with its library."""
