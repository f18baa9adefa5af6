"""The index of all descriptors: kind, files, building, updating, searching."""
