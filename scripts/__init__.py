"""Tools around the stages."""
