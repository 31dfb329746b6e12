"""Real OpenSearch and Elasticsearch servers on this machine's loopback, for tests.

``python tests/clusters --help`` is the command line, ``cluster.Cluster`` the same for code and
``fixtures`` the fixtures of pytest. Only the standard library is used.
"""
