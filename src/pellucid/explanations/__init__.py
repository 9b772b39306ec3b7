"""What is done with explanations: several brought together, and the points to keep."""
