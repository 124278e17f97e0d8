"""A storage folder: its room, its page cache, its blocks, and the scratch folders in it."""
