"""A detector judged as it runs: on labelled frames, on clips."""
