"""Weights in and out of the network: Keras, checkpoints, MindIR."""
