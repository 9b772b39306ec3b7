"""Small models of every method."""

from small_models import method, target  # noqa: F401
