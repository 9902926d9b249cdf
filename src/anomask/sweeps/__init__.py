"""Many runs together: a job of a sweep, the page of all, and the runs that a table of the paper still lacks."""
