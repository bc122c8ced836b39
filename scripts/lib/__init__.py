"""The parts scripts/* are made of: one noun a module."""
