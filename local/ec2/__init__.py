"""EC2 as strict as it is where a promise hangs on it, over moto's own model."""
