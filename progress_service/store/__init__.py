"""All SQL; one method, one transaction."""
