"""`make mutants`: how much of what could be wrong with the fake's source the contract would notice.

One place of the source is changed at a time, in memory, and the clauses judge the fake that comes
of it until one does not hold; a change that no clause notices has survived. See `operators` for
what is changed, `sites` for where, and `modules` for which modules.
"""
