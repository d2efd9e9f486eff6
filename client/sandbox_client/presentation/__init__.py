"""Results and errors as objects and as text, for the tools and the terminal alike."""
