"""The steps of which the roads of the rehearsal consist, a module for each part of the story."""
