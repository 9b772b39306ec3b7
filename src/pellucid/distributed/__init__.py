"""What runs on a Ray cluster, which is an optional extra: ``pip install 'pellucid[distributed]'``."""

import os

# Before Ray is imported, which reads them then.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # else it tells of dead workers on stdout
