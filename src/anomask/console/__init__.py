"""The command line without torch: what a command says of itself, what was typed, and mistakes in it."""
