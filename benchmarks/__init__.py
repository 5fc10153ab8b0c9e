"""How fast and how small training is, measured: `python -m benchmarks`; docs/benchmarks.md explains it."""
