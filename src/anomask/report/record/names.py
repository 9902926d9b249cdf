"""What things are called in a record. Knows no torch."""

ANOMALY_MAP = "anomaly map"
