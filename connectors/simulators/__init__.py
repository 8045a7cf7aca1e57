"""Small servers that play vendors' APIs, with switchable faults; started by tests and the demo beside the real systems that run locally.

They speak the vendors' language and know nothing of the fabric.
"""
