"""The training set: Google Landmarks v2 tables and photos in, MindRecord shards out."""
