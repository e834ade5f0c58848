"""The policy file: read strictly, written back, compared, watched. Pure but for `watched`."""
