"""Processes: the worker that measures, its children, and who starts and watches them."""
