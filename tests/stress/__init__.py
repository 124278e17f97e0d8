"""What takes too long for every change: `python -m tests.stress.NAME --help`. A few rounds of each are tests."""
