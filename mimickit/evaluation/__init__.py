"""How well a policy does: deterministic episodes, Table 1's errors, success rates."""
