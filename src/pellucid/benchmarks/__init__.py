"""Settings and published numbers of the papers (YAML beside this file), and what runs them and shows the results.

Nothing is imported here: workers and ``pellucid --help`` take what they need from the modules.
"""
