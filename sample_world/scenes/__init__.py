"""Composing a photo: place, camera, what stands in the way, and what is seen of the landmark."""
