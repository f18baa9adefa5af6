"""Data sets and weights from their hosts: resumed, verified, unpacked."""
