"""What both services stand on, and nothing of either's domain."""

import os

# gRPC's core reads this when it is imported. What it says about connections that fail is no event
# of ours, in no form of ours, and a line for each of them: whoever looks for it sets INFO.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
