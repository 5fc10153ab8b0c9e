"""A database with a million jobs: built, and everything asked of it: `python -m benchmarks.ledger`."""
