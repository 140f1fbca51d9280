"""Measurements: `python -m benchmarks.NAME`. See docs/development.md."""
