"""Statistics of times: intervals, and what may be said of two of them. Knows no run."""
