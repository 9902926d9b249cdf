"""From probability and residual to an anomaly map, one score a slice, and a threshold."""
