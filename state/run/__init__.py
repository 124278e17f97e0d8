"""A run: what is recorded of it, the events that say so, and the machine it ran on."""
