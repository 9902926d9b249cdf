"""From volumes and images of doubtful origin to a data folder that training reads."""
