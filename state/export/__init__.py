"""A run as files for others."""
