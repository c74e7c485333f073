"""Tools around the stages, for users. Imports everything but stage scripts."""
