"""Calling what is slow or may hang, in processes of its own; light to import, since each of those processes does."""
