"""The paper (arXiv 2309.15881), table for table, beside runs of its experiments."""
