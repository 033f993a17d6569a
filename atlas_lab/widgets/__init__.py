"""Live views of a bus in a notebook."""
