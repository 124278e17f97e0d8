"""What is known: plans, trials, runs, statistics and exports. Plain data and pure functions.

Nothing in here imports Textual, torch or any other heavy library, so that every process can use it.
"""
