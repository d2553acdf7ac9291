"""How far a run is: what the run writes about itself, and what is made of it on the instance or elsewhere."""
