"""What a prediction leaves to read: scores, maps, lesion candidates and the page to leaf through them."""
