"""What an evaluation leaves to read: scores, summary, overlays and its page."""
