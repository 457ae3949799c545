"""Figures to take away: every figure that a notebook shows is kept as SVG, PDF, PNG and as a table.

A file imports only from those above it:

    artists    what one line, interval, band or map of a figure draws, as columns of a table
    table      what a whole figure draws, as one tidy table
    forms      SVG, PDF, PNG and CSV of a figure, and how a notebook comes to hold them
"""
