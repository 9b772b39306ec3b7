"""What runs on a Ray cluster, which is an optional extra: ``pip install 'pellucid[distributed]'``."""
