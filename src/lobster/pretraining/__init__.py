"""Training a UME and a starting policy from FASTA and SMILES files: `python -m lobster.pretraining`."""
