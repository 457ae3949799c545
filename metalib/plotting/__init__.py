"""Figures: results in, matplotlib figures out; nothing here reads files or trains."""
