"""This release, as GetStatus and the command line tell it."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("laurel")
except PackageNotFoundError:  # run from a checkout that was never installed
    VERSION = "0+unknown"
