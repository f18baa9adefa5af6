"""Configuration, and where the programs run."""
