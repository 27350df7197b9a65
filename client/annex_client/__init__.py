"""The client: questions, tokens, and three views of an annex merged into one."""

__version__ = "0.1.0"
