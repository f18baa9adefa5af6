"""DELF on MindSpore: attentive deep local features for landmark retrieval."""
