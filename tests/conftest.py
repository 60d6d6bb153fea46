"""What holds for all tests."""

from hypothesis import settings

# How long an example takes says something about the machine, not about the code. Nothing is kept between runs.
settings.register_profile("pyrover", deadline=None, database=None)
settings.load_profile("pyrover")
