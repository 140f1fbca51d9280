"""What every training run shares: device, settings, checkpoints, log, folders."""
