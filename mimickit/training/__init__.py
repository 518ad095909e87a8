"""Training: the loop over protocols, checkpoints, and what makes a run traceable."""
