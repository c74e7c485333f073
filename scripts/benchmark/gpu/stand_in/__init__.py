"""Stands in for libraries of other people's programs that a machine may lack."""
