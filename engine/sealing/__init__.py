"""Hashes of bundles written anew (`python -m engine.sealing`), and hashes of what decided in a run."""
