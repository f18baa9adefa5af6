"""Stores of global descriptors, one vector a photo: a folder of FAISS lists, or a Milvus."""
