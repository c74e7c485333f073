"""Whether a document is kept: rules by the script that it is written in, their thresholds in thresholds.yaml."""
