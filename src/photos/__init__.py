"""Photos: finding them, reading them as they are displayed, checking them."""
