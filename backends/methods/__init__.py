"""The methods: one file a library, behind the interface in `base`, found by name through `registry`."""
