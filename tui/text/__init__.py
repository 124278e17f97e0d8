"""From state to text: pure functions, for screens and for standard output."""
