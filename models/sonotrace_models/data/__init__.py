"""Images with object masks: reading, packing, augmenting, and loops made from them."""
