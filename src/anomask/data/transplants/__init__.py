"""Real lesions put into real normal slices: a test set in which the lesion is the only difference."""
