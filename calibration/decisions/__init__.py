"""`polypstream calibrate`: the threshold and the alarm rule, chosen on held-out frames and clips."""
