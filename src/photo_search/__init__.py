"""The search of a person's own photos."""
