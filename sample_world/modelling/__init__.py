"""Meshes, and the bodies and roofs they are made of."""
