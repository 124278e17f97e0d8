"""What people see: the command line and its live progress, tables and charts.

Nothing here imports torch, jax, tensorstore or transformers: they live in the worker process.
"""
