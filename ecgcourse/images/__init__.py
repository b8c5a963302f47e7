"""From leads to what a network is fed: filter and scale, the three fields, the images."""
