"""Textures drawn in metres: canvas, surfaces, windows, doors, ornaments."""
