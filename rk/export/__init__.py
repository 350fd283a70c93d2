"""What leaves a run: exporters, registered through the same hook as any plugin's."""
