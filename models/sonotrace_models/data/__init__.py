"""Images with object masks: reading, packing, augmenting, and loops made of them."""
