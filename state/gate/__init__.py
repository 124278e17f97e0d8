"""Whether a run passes, judged by an earlier one: `--fail-if-slower`."""
