"""The explorer as an application: its loop, its terminal, its beginning and its end."""
