"""Feature ops, and the plan that fits and applies them."""
