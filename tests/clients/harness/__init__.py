"""Drives the clients of examples/clients through one table, and holds what they saw against it and each other."""
