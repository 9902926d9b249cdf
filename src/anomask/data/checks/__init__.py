"""The checks of a data folder, one question a file: pure functions from records and facts to findings."""
