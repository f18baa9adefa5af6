"""Evaluation of retrieval: protocols, ground truth, metrics, tables, the page."""
