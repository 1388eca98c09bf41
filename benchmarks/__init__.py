"""Benchmarks: run as modules, e.g. ``python -m benchmarks.adapters``; results go to docs/results."""
