"""What every stage's loop shares: arguments, devices, optimizers, schedules, losses, and the run itself."""
