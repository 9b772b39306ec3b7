"""What the commands do, each from its input to its files; ``api`` and ``cli`` only call them."""
