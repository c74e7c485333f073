"""Benchmarks of local files by the conventions of lm-evaluation-harness: items, likelihoods, answers, scores."""
