"""HTTP requests, their recorded exchanges, and the expectations of answers."""
