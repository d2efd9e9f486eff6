"""What the fake remembers, and what becomes of it as time passes.

It knows neither HTTP nor what runs: the time is an argument, and a record is a value.
"""
