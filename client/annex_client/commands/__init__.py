"""The commands, one module each; each offers `run(session, options) -> Exit`."""
