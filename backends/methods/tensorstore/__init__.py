"""Methods that keep an array for every tensor, through TensorStore."""
