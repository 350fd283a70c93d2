"""Exporters, registered through the same hook as any plugin's."""
