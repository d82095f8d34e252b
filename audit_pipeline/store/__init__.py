"""The run folder: atomic commits of studies, pseudonyms, tables, the hash chain over everything written."""
