"""What the proxy promises, as data: an id, a level, a sentence, its source, what it takes to judge.

Knows nothing else.
"""
