"""The anomaly feature synthesiser: where to corrupt (location), with what (replacement), put together (synthesiser)."""
