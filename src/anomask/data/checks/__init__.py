"""What verification looks for in a data folder, one question a file, and the fingerprint that it leaves."""
