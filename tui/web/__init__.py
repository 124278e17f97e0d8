"""The explorer in a browser, for those who have the address that `ckpt-tui serve` prints."""
