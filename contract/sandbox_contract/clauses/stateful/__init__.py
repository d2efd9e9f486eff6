"""Clauses about many requests: a state machine with a model, and concurrent requests."""
