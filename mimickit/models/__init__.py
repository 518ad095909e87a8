"""Networks, distributions and normalisers: what algorithms optimise."""
