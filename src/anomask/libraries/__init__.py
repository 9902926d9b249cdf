"""Comparison methods of other libraries, in an environment of their own: slices go out as files, maps come back."""
