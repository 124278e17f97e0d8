"""Side-by-side benchmarks, each a program: python -m bench.NAME."""
