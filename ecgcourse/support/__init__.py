"""What all rooms share: files, processes, devices, options."""
