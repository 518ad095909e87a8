"""The environment: observes, rewards and ends episodes over any engine and any task."""
