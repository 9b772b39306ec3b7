"""What ``molecule_peers.py`` is made of: sets, tasks with truth, peers, metrics, records and tables."""
