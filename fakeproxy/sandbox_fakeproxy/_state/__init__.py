"""The state of the fake, and how a sandbox's status follows from it and the time.

It knows neither HTTP nor what runs: the time is an argument, and a record is a value.
"""
