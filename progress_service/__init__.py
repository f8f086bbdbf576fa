"""ProgressService: owns PostgreSQL and decides what was earned."""
