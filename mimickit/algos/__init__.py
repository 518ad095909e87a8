"""Reinforcement learning: rollouts, returns and updates. None of it knows what is imitated."""
