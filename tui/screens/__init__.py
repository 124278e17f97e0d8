"""The explorer's screens, one a file."""
