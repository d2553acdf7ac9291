"""How packing on a cluster scales: a model, a simulation, and the document that they write."""
