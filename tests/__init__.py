"""Tests: unit, store, rpc, e2e, faults."""
