"""Wires the apps: settings, processes, the queue."""
