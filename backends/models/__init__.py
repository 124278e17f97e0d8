"""Whatever `--model` may name, opened as tensors."""
