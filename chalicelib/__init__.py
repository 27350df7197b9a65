"""The control plane: decisions in pure modules, actions behind ports, AWS in the adapters."""

__version__ = "0.1.0"
