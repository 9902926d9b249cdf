"""One file a verb: reads what was asked, calls what does it, and says what came of it."""
