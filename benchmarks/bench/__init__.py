"""Benchmarks of anomaly detectors: protocols, methods, measures, speed and reports."""
