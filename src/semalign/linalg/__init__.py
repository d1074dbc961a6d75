"""Pure tensor algebra: it knows no model, file or configuration."""
