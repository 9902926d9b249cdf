"""Run folders: what is in one, how to find one, and which code wrote it."""
