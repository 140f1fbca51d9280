"""Live runs: a picture that never waits for detection. `run.run_live`."""
