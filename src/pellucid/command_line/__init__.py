"""The commands, by what they are about; each registers itself with the app."""
