"""A page to search a folder of photos with, and the same for programs (JSON over HTTP)."""
