"""The commands of `ckpt-tui`."""
