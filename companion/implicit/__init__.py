"""Implicit MAML (Rajeswaran et al. 2019), to be compared with the methods of the paper."""
