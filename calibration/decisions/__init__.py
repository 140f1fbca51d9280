"""`polypstream calibrate`: the threshold and the rule over time, chosen on held-out frames and clips."""
