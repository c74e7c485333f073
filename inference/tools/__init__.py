"""What lets a model call functions: their schemas, its calls, the process that runs them, the turns of results."""
