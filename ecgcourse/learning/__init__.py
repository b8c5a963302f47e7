"""Training: data sets and loaders, the loop, the folder of a run, metrics, several processes."""
