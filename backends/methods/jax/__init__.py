"""Methods that save arrays of JAX."""
