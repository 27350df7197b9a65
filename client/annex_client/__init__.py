"""The client: questions, tokens, and three views of an annex merged into one."""
