"""The clauses: one function each, which raises when the promise is broken."""
