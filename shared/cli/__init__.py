"""The `laurel` command; its clients speak only gRPC."""

import os

# gRPC writes a line of its own to stderr when a connection ends, in the midst of what a command
# draws there. It looks at this once, when it is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
