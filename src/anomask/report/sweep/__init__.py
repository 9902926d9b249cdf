"""A sweep's page: what differs between its jobs, against the score they are chosen by. Knows no torch."""
