"""What runs the network: one interface, one class a runtime."""
