"""From tensors that are mapped from a file to tensors in memory of their own."""

import torch

from backends.tensors import StateDict, unique_tensors


def read_through(mapped: StateDict, device: torch.device) -> StateDict:
    """Copy what is still in a file's pages, so that every byte has been read.

    Args:
        mapped: What a lazy load gave; a tied tensor occurs as the same object under several names.
        device: Where the load put it. What is on a GPU has been read and stays as it is.

    Returns:
        The same names, in the same order, with ties kept.
    """
    if device.type != "cpu":
        return mapped
    tensors, aliases = unique_tensors(mapped)
    copies = {name: tensor.clone() for name, tensor in tensors.items()}
    return {name: copies[aliases.get(name, name)] for name in mapped}
