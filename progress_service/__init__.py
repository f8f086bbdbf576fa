"""ProgressService: owns PostgreSQL and decides what was earned."""

import shared  # noqa: F401 - before gRPC is imported: it says what gRPC may write to stderr
