"""Stage 4: maps of the evidence behind each class, on the layer's grid and in the patient."""
