"""The parts ci/run is made of: one noun a module."""
