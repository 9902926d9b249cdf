"""The result record of one evaluation: its figures with n, interval and floor, and what is saved beside it."""
