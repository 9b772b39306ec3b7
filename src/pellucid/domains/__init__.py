"""Domains: what a kind of sample is read from, called, drawn as and written to."""
