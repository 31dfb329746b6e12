"""A campaign of faults: ``python tests/campaign --help``.

Each run takes one job (encode, index, update, train, tune), does something bad to it at a random
moment or place, goes the way back that the command itself names, and compares what is there in the
end with what a run without a fault makes.
"""
