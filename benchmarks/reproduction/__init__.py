"""The suite's own expectations of the claims' shorter schedules, and the page of all verdicts."""
