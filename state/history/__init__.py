"""The runs that are kept, in a database of the user's."""
