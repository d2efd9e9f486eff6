"""A run's result, told to people, to CI systems and to programs."""
