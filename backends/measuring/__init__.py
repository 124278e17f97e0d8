"""One trial, honestly: the protocol, its clocks and witnesses, and the limits of the machine."""
