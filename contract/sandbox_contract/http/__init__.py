"""HTTP, as a judge sees it: what was sent, what came back, and what was expected instead."""
