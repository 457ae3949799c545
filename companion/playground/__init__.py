"""What the pages that compute in the reader's browser take from the stored runs (pages `book/play_*.md`)."""
