"""From the flags of a stage to its rows, network, reference, teacher. Imports every other folder of training."""
